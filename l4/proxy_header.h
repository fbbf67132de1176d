// SPDX-License-Identifier: Apache-2.0
// The PROXY v2 header an application tunnel begins with: who calls, and whom they meant (contract/ztunnel.md
// §5.3; HAProxy's proxy-protocol.txt §2.2). What it says was proved by mutual TLS, so only the node's own
// proxy may speak it to an application.
#pragma once

#include <string>
#include <string_view>

#include "core/ip.h"

namespace ambientd::l4 {

// TLVs: 0xD0 `identity`, the caller's SPIFFE URI; 0xD1 `hostname`, the service that was meant; each where it
// is not empty. Ends of different families are both told as IPv6, the IPv4 one mapped.
std::string proxy_header(const SockAddr& source, const SockAddr& target, std::string_view identity,
                         std::string_view hostname);

}  // namespace ambientd::l4
