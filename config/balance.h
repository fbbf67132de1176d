// SPDX-License-Identifier: Apache-2.0
// Which endpoint of a service a client is sent to, and on which of its addresses: pure functions over a
// Snapshot. Randomness is an argument (64 uniform bits), so a test can say which one is picked and how often.
// ztunnel and waypoint choose with the same functions (contract/ztunnel.md §4, load_balance).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "config/snapshot.h"
#include "core/result.h"

namespace ambientd::config {

// What the endpoint is wanted for. A waypoint is reached on its HBONE port: its service may have that port
// without a target, when the workload has an application tunnel.
enum class Purpose : uint8_t { traffic, waypoint };

struct Choice {
  WorkloadPtr workload;
  uint16_t port = 0;  // on the workload, never a service port
};

// Workloads that one call has already failed at: they are not chosen again.
using Tried = std::span<const WorkloadPtr>;
bool contains(Tried tried, const Workload& workload);  // by uid: a snapshot may have come in between

// Whether an endpoint can be chosen, and why not.
enum class Standing : uint8_t {
  in,
  unhealthy,
  unreachable,  // without an address, and not behind a network gateway
  no_port,      // nothing behind the service port there
  tried,        // and failed
  too_far,      // mode strict
  farther,      // another one is nearer
  weightless,   // capacity 0
};
std::string_view text(Standing standing);  // for people: `not healthy`

struct Candidate {
  WorkloadPtr workload;
  uint16_t port = 0;  // when it is in
  Standing standing = Standing::in;
  uint64_t draw = 0;  // when it is in: a random number that balance() chooses it by
};

// The port of an endpoint behind `service_port`: its own mapping, else the service's target port, else (for a
// waypoint whose workload has an application tunnel with a port) the service port itself. Nothing: it has
// none.
std::optional<uint16_t> endpoint_port(const Service& service, const Endpoint& endpoint, uint16_t service_port,
                                      Purpose purpose);

// One endpoint for `client`: those nearest by the service's routing preferences, weighted by capacity.
// Nothing: the service has no such port, or no endpoint that is healthy, reachable and (in mode strict) near
// enough.
std::optional<Choice> balance(const Snapshot& snapshot, const Service& service, uint16_t service_port,
                              const Workload& client, Purpose purpose, uint64_t random, Tried tried = {});

// Everyone who names the service, and why balance() may choose them or not. For people: it looks through all
// workloads of the mesh.
std::vector<Candidate> candidates(const Snapshot& snapshot, const Service& service, uint16_t service_port,
                                  const Workload& client, Purpose purpose, Tried tried = {});

// The address to dial: `target` itself when the workload has it, else its first one of target's family that
// `families` allows, else the first one allowed. Errc::no_destination when there is none.
Result<Ip> destination_ip(const Workload& workload, const Ip& target, IpFamilies families);

// Whether somebody must be asked for the workload's addresses.
inline bool needs_dns(const Workload& workload) {
  return workload.addresses.empty() && !workload.hostname.empty();
}
// destination_ip() over the addresses that its hostname resolved to.
Result<Ip> resolved_ip(const Workload& workload, std::span<const Ip> addresses, const Ip& target,
                       IpFamilies families);

// The waypoint a service's traffic goes through: one of the weighted ones by weight, else the single one.
// Null: none. The result lives as long as the service.
const GatewayAddress* service_waypoint(const Service& service, uint64_t random);

// `no valid routing destination for workload: Workload{NAME with uid UID (PROTO)}` (§4).
Error no_destination(const Workload& workload);

}  // namespace ambientd::config
