// SPDX-License-Identifier: Apache-2.0
#include "l7/path.h"

#include <algorithm>

#include "core/text.h"

namespace ambientd::l7 {
namespace {

constexpr std::string_view kEscaped = "\"<>^`{|}";  // visible, but not for a path (RFC 3986 §3.3)

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

bool is_unreserved(unsigned char byte) {  // RFC 3986 §2.3
  char c = static_cast<char>(byte);
  return is_digit(c) || is_letter(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

bool is_control_or_space(char c) {
  auto byte = static_cast<unsigned char>(c);
  return byte <= 0x20 || byte == 0x7f;
}

std::optional<unsigned char> digit_value(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return {};
}

// Whether two bytes in a row spell a character in more bytes than it needs (RFC 3629 §3): the only use is to
// hide it.
bool is_overlong(unsigned char first, unsigned char second) {
  return second == 0xc0 || second == 0xc1 || (first == 0xe0 && second >= 0x80 && second < 0xa0) ||
         (first == 0xf0 && second >= 0x80 && second < 0x90);
}

// Rewrites a path byte by byte: one spelling for each.
class Speller {
 public:
  // False: the path is to be refused.
  bool take(std::string_view path) {
    while (!path.empty()) {
      std::optional<unsigned char> escaped = escaped_byte(path);
      unsigned char byte = escaped.value_or(static_cast<unsigned char>(path[0]));
      if (is_overlong(last_, byte)) return false;
      last_ = byte;
      if (escaped && !take_escape(path.substr(0, 3), byte)) return false;
      if (!escaped) take_raw(path[0]);
      path.remove_prefix(escaped ? 3 : 1);
    }
    return true;
  }

  std::string spelled;

 private:
  bool take_escape(std::string_view text, unsigned char byte) {
    if (byte == 0) return false;
    if (!is_unreserved(byte)) {
      spelled += text;
      return true;
    }
    // A decoded digit must not complete an escape that was broken before.
    if (bare_percent_ != std::string::npos && spelled.size() - bare_percent_ <= 2) return false;
    spelled += static_cast<char>(byte);
    return true;
  }

  void take_raw(char c) {
    if (c == '%') bare_percent_ = spelled.size();
    if (c == '\\') c = '/';
    if (static_cast<unsigned char>(c) < 0x80 && kEscaped.find(c) == std::string_view::npos) {
      spelled += c;
      return;
    }
    constexpr std::string_view kDigits = "0123456789ABCDEF";
    auto byte = static_cast<unsigned char>(c);
    spelled += {'%', kDigits[byte >> 4], kDigits[byte & 15]};
  }

  unsigned char last_ = 0;
  size_t bare_percent_ = std::string::npos;  // where a `%` stands that begins no escape
};

// RFC 3986 §5.2.4. `path` starts with a slash; so does what comes back.
std::string resolve_dots(std::string_view path) {
  std::string out = "/";
  for (size_t at = 1; at <= path.size();) {
    size_t end = std::min(path.find('/', at), path.size());
    std::string_view segment = path.substr(at, end - at);
    if (segment == "..") {
      if (out.size() > 1) out.resize(out.rfind('/', out.size() - 2) + 1);
    } else if (segment != ".") {
      out += segment;
      if (end < path.size()) out += '/';
    }
    at = end + 1;
  }
  return out;
}

}  // namespace

std::optional<unsigned char> escaped_byte(std::string_view text) {
  if (text.size() < 3 || text[0] != '%') return {};
  std::optional<unsigned char> high = digit_value(text[1]), low = digit_value(text[2]);
  if (!high || !low) return {};
  return *high << 4 | *low;
}

std::optional<std::string> normalize_path(std::string_view path) {
  path = path.substr(0, path.find('#'));
  if (std::ranges::any_of(path, is_control_or_space)) return {};
  if (path == "*") return "*";
  if (!path.starts_with('/')) return {};
  size_t question = std::min(path.find('?'), path.size());
  Speller speller;
  if (!speller.take(path.substr(0, question))) return {};
  return resolve_dots(speller.spelled).append(path.substr(question));
}

std::string percent_decoded(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    std::optional<unsigned char> escaped = escaped_byte(text);
    out += escaped ? static_cast<char>(*escaped) : text[0];
    text.remove_prefix(escaped ? 3 : 1);
  }
  return out;
}

std::optional<RequestTarget> split_target(std::string_view target) {
  if (target.starts_with('/') || target == "*")
    return RequestTarget{.scheme = {}, .authority = {}, .path = std::string(target)};
  size_t colon = target.find("://");
  if (colon == std::string_view::npos) return {};
  RequestTarget out{.scheme = to_lower(target.substr(0, colon)), .authority = {}, .path = {}};
  if (out.scheme != "http" && out.scheme != "https") return {};
  target.remove_prefix(colon + 3);
  size_t end = std::min(target.find_first_of("/?#"), target.size());
  out.authority = target.substr(0, end);
  if (out.authority.empty() || out.authority.find('@') != std::string::npos) return {};
  out.path = target.substr(end);
  if (!out.path.starts_with('/')) out.path.insert(0, 1, '/');
  return out;
}

}  // namespace ambientd::l7
