// SPDX-License-Identifier: Apache-2.0
// The ports of ztunnel (contract/ztunnel.md §2). The rule: nothing is ever proxied to one of them, or a call
// would go round in us for ever.
#pragma once

#include <cstdint>

namespace ambientd::l4 {

inline constexpr uint16_t kOutboundPort = 15001;   // captured calls of the pod's applications
inline constexpr uint16_t kPlaintextPort = 15006;  // captured calls to the pod that carry no mesh TLS
inline constexpr uint16_t kHbonePort = 15008;      // HBONE from peers; every workload's is this one

inline bool is_own_port(uint16_t port) {
  return port == kOutboundPort || port == kPlaintextPort || port == kHbonePort;
}

}  // namespace ambientd::l4
