// SPDX-License-Identifier: Apache-2.0
// Which build this is.
#pragma once

#include <string>
#include <string_view>

namespace ambientd {

struct Version {
  std::string_view number;    // `0.1.0`
  std::string_view revision;  // of the source, `-dirty` when it was changed; `unknown` outside a repository
  std::string crypto;         // the TLS library that runs, not the one compiled against: `openssl-3.0.19`
};
Version version();

// What `ambientd version` prints, in ztunnel's form (contract/ztunnel.md §1.1).
std::string version_line(std::string_view istio_version);

}  // namespace ambientd
