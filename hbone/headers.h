// SPDX-License-Identifier: Apache-2.0
// Header fields as HTTP/2 carries them: lower-case names, pseudo headers first, order kept.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ambientd::hbone {

using Headers = std::vector<std::pair<std::string, std::string>>;

// The first value of `name`; nothing when it is absent.
inline std::optional<std::string_view> find(const Headers& headers, std::string_view name) {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return {};
}

}  // namespace ambientd::hbone
