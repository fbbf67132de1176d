// SPDX-License-Identifier: Apache-2.0
// How a reference to a waypoint or a network gateway becomes an address and the identities that may answer
// there (contract/ztunnel.md §4, fetch_waypoint, fetch_network_gateway). A reference that leads nowhere is an
// error, never "no waypoint".
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/snapshot.h"
#include "l4/decide.h"

namespace ambientd::l4 {

struct Gateway {
  config::WorkloadPtr workload;
  config::ServicePtr service;        // null: named by a workload's address or hostname
  SockAddr address;                  // where its HBONE port listens
  std::string hostname;              // when the address must be asked for first
  std::vector<Identity> identities;  // its service's further ones, then its own
};

enum class GatewayKind : uint8_t { waypoint, network };

// Errors: unknown_waypoint (`unknown waypoint: waypoint demo/waypoint.demo… not found`), no_destination
// (`unknown network gateway: …`, or an instance without an address).
Result<Gateway> find_gateway(const config::Snapshot& snapshot, GatewayKind kind,
                             const config::GatewayAddress& reference, const Call& call, uint64_t random,
                             config::Tried tried = {}, Trace* trace = nullptr);

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
