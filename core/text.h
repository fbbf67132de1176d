// SPDX-License-Identifier: Apache-2.0
// Small text functions the standard library lacks. All are ASCII: protocol text is.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ambientd {

std::vector<std::string_view> split(std::string_view text,
                                    char at);  // "a,,b" → a, "", b; "" → one empty part
std::string_view trim(std::string_view text);  // spaces and tabs off both ends
std::string to_lower(std::string_view text);
bool equals_ignore_case(std::string_view a, std::string_view b);
std::optional<uint64_t> parse_uint(std::string_view text);  // decimal digits only, no sign, no overflow
std::string quoted(
    std::string_view text);  // in double quotes, with \" \\ \n and control bytes escaped: for logs
std::string hex(std::string_view bytes);  // lower case
std::string base64(std::string_view bytes);

// RFC 4648 §5 without padding, and strictly: a character of another alphabet, `=`, or a last character with
// bits that mean nothing is refused, so that one value has one spelling.
std::optional<std::string> from_base64url(std::string_view text);

}  // namespace ambientd
