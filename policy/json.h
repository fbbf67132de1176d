// SPDX-License-Identifier: Apache-2.0
// JSON (RFC 8259) from somebody nobody trusts yet, as a small tree: tokens, key sets, discovery documents.
// What two readers could read in two ways is refused: a member that comes twice at any depth. The rule: the
// caller bounds the text's length; depth and number of values are bounded here.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ambientd::policy {

inline constexpr size_t kMaxJsonDepth = 32;
inline constexpr size_t kMaxJsonValues = 20'000;

struct Json {
  enum class Kind : uint8_t { null, boolean, integer, number, string, list, object };
  Kind kind = Kind::null;
  bool flag = false;         // of a boolean
  int64_t integer = 0;       // of an integer that fits
  double number = 0;         // of any other number, and of an integer as well
  std::string text;          // of a string
  std::vector<Json> values;  // of a list, or of an object beside its keys
  std::vector<std::string> keys;

  bool is(Kind wanted) const { return kind == wanted; }
  const Json* find(std::string_view key) const;  // in an object; null when it is not there
  // The text of a string member; nothing when it is absent or something else.
  std::optional<std::string_view> text_of(std::string_view key) const;
};

// Nothing: not JSON, a member twice, too deep, too many values.
std::optional<Json> parse_json(std::string_view text);

}  // namespace ambientd::policy
