// SPDX-License-Identifier: Apache-2.0
#include "core/url.h"

#include <algorithm>

#include "core/ip.h"
#include "core/text.h"

namespace ambientd {
namespace {

constexpr size_t kMaxUrl = 2'048;  // bytes
constexpr size_t kMaxName = 253;   // RFC 1035 §2.3.4

bool is_host_name(std::string_view host) {
  return !host.empty() && host.size() <= kMaxName && std::ranges::all_of(host, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
  });
}

// `host`, `host:port`, `[::1]:port`; false when it is none of them.
bool read_authority(std::string_view text, Url* out) {
  bool bracketed = text.starts_with('[');
  size_t end = bracketed ? text.find(']') : text.find(':');
  if (bracketed && end == text.npos) return false;
  std::string_view rest = text.substr(std::min(bracketed ? end + 1 : end, text.size()));
  out->host = to_lower(bracketed ? text.substr(1, end - 1) : text.substr(0, end));
  std::optional<Ip> ip = Ip::parse(out->host);
  if (bracketed ? !(ip && ip->v6) : !is_host_name(out->host)) return false;
  if (rest.empty()) return true;
  std::optional<uint64_t> port = rest.starts_with(':') ? parse_uint(rest.substr(1)) : std::nullopt;
  if (!port || *port == 0 || *port > 65535) return false;
  out->port = static_cast<uint16_t>(*port);
  return true;
}

}  // namespace

std::optional<Url> Url::parse(std::string_view text) {
  auto odd = [](unsigned char c) { return c <= ' ' || c >= 0x7f || c == '\\' || c == '#' || c == '"'; };
  if (text.size() > kMaxUrl || std::ranges::any_of(text, odd)) return {};
  Url out;
  size_t colon = text.find("://");
  if (colon == text.npos) return {};
  std::string scheme = to_lower(text.substr(0, colon));
  if (scheme != "http" && scheme != "https") return {};
  out.tls = scheme == "https";
  out.port = out.tls ? 443 : 80;
  text.remove_prefix(colon + 3);
  size_t path = std::min(text.find_first_of("/?"), text.size());
  if (!read_authority(text.substr(0, path), &out)) return {};
  out.path = text.substr(path);
  if (!out.path.starts_with('/')) out.path.insert(0, "/");
  return out;
}

std::string Url::authority() const {
  std::string name = host.contains(':') ? "[" + host + "]" : host;
  return port == (tls ? 443 : 80) ? name : name + ":" + std::to_string(port);
}

std::string Url::str() const { return (tls ? "https://" : "http://") + authority() + path; }

}  // namespace ambientd
