// SPDX-License-Identifier: Apache-2.0
// An http or https URL that we fetch something from. What a reader could take for another place is refused:
// user information, a fragment, characters no URL holds.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ambientd {

struct Url {
  bool tls = false;
  std::string host;  // lower case; an IPv6 address without its brackets
  uint16_t port = 80;
  std::string path = "/";  // with its query

  static std::optional<Url> parse(std::string_view text);
  std::string authority() const;  // the Host field: `idp:8080`, without the scheme's own port
  std::string str() const;
};

}  // namespace ambientd
