// SPDX-License-Identifier: Apache-2.0
// Where a captured connection goes, and how: one pure function over a Snapshot (contract/ztunnel.md §4). It
// fails closed: a waypoint that cannot be resolved, or a peer on another network, is an error and never a
// plaintext connection; plaintext goes only to what the mesh says speaks no HBONE, or does not know at all.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "config/snapshot.h"
#include "core/ip.h"
#include "core/result.h"
#include "core/spiffe.h"

namespace ambientd::l4 {

struct Call {
  const config::Workload& self;  // whose application calls
  Ip from;                       // the application's address
  SockAddr target;               // where it meant to go (SO_ORIGINAL_DST)
};

struct Decision {
  enum class Protocol : uint8_t { tcp, hbone };
  Protocol protocol = Protocol::tcp;
  SockAddr to;                   // the next hop, to be dialled
  std::string authority;         // HBONE: what the next hop is asked for, `10.0.0.7:80`
  std::vector<Identity> peers;   // HBONE: any of these may answer
  config::WorkloadPtr workload;  // the next hop's record; null: unknown to the mesh, passed through
  config::ServicePtr service;    // the service the application meant; null: none
};

// `network` is the one this proxy is on. `random`: 64 uniform bits. Errors: no_healthy_upstream,
// no_destination, unknown_waypoint, not_found (another network, and no service to reach it by).
Result<Decision> decide(const config::Snapshot& snapshot, std::string_view network, const Call& call,
                        uint64_t random);

// A call to one of our own ports that would come back to us: to a loopback address, or to the very socket
// that accepted it, which then was not captured but dialled.
bool calls_ourselves(const SockAddr& target, const SockAddr& local);

}  // namespace ambientd::l4
