// SPDX-License-Identifier: Apache-2.0
#include "core/spiffe.h"

#include <algorithm>

namespace ambientd {
namespace {

// The characters SPIFFE allows in a trust domain or path segment (SPIFFE-ID §2).
bool plain(std::string_view part) {
  return !part.empty() && std::ranges::all_of(part, [](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_';
  });
}

// Takes what is before `mark` off the front of `text`; nothing when the mark is missing.
std::optional<std::string_view> take_until(std::string_view& text, std::string_view mark) {
  size_t at = text.find(mark);
  if (at == text.npos) return {};
  std::string_view part = text.substr(0, at);
  text.remove_prefix(at + mark.size());
  return part;
}

}  // namespace

namespace {

std::string written(std::string_view scheme, const Identity& who) {
  std::string out;
  out.reserve(scheme.size() + who.trust_domain.size() + who.ns.size() + who.sa.size() + 8);
  ((((((out += scheme) += who.trust_domain) += "/ns/") += who.ns) += "/sa/") += who.sa);
  return out;
}

}  // namespace

std::string Identity::principal() const { return written("", *this); }

std::string Identity::uri() const { return written("spiffe://", *this); }

std::optional<Identity> Identity::parse(std::string_view uri) {
  static constexpr std::string_view kScheme = "spiffe://";
  if (!uri.starts_with(kScheme) || uri.size() > 2048) return {};
  uri.remove_prefix(kScheme.size());
  std::optional<std::string_view> td = take_until(uri, "/ns/");
  if (!td || !plain(*td)) return {};
  std::optional<std::string_view> ns = take_until(uri, "/sa/");
  if (!ns || !plain(*ns) || !plain(uri)) return {};
  return Identity{std::string(*td), std::string(*ns), std::string(uri)};
}

}  // namespace ambientd
