// SPDX-License-Identifier: Apache-2.0
// How a reference to a waypoint becomes an address and the identities that may answer there
// (contract/ztunnel.md §4, fetch_waypoint). A reference that leads nowhere is an error, never "no waypoint".
#pragma once

#include <cstdint>
#include <vector>

#include "config/snapshot.h"
#include "l4/decide.h"

namespace ambientd::l4 {

struct Waypoint {
  config::WorkloadPtr workload;
  SockAddr address;                  // where its HBONE port listens
  std::vector<Identity> identities;  // its service's further ones, then its own
};

// Errors: unknown_waypoint (`unknown waypoint: waypoint demo/waypoint.demo… not found`), no_destination.
Result<Waypoint> find_waypoint(const config::Snapshot& snapshot, const config::GatewayAddress& reference,
                               const Call& call, uint64_t random);

// Whether the call comes from that waypoint itself, by identity and address: it is not sent there again.
bool comes_from_waypoint(const config::Snapshot& snapshot, const config::GatewayAddress& reference,
                         const Call& call);

// Whether `self` serves as the waypoint `reference` names (contract/ztunnel.md §5.3 (4)): `at` is the address
// it was reached on.
bool is_waypoint(const config::Snapshot& snapshot, const config::GatewayAddress& reference,
                 const config::Workload& self, const Ip& at);

// The identities that may answer for a workload: the service's subjectAltNames that are identities, then its
// own.
std::vector<Identity> identities(const config::Service* service, const config::Workload& workload);

}  // namespace ambientd::l4
