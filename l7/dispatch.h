// SPDX-License-Identifier: Apache-2.0
// What a CONNECT to this waypoint is for, from its authority alone (contract/waypoint.md §1.5): a port of a
// service that is bound to this waypoint, or an address of a workload that is. Anything else is refused: a
// waypoint is no open proxy. Host never selects the service. Pure, over a Snapshot.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "config/snapshot.h"
#include "core/result.h"

namespace ambientd::l7 {

// Who this waypoint is, as the mesh knows it.
struct Self {
  config::WorkloadPtr workload;
  std::string gateway;  // "ns/name" of its Gateway: what policies attach to

  // The waypoint that runs as this pod. Errc::not_found when the mesh has no such workload (yet).
  static Result<Self> find(const config::Snapshot& snapshot, std::string_view name, std::string_view ns,
                           std::string_view sa);
};

struct Target {
  SockAddr destination;          // the authority: the service's or the workload's address
  config::ServicePtr service;    // set: a service port of it; null: directly to the workload
  config::WorkloadPtr workload;  // of a direct one
  config::AppProtocol protocol = config::AppProtocol::sniff;
};

// Errors: bad_request, the authority is not `IP:port` (host names need a multi-network mesh); not_found,
// nothing with that address and port is bound to this waypoint; self_call, a port of a proxy.
Result<Target> dispatch(const config::Snapshot& snapshot, const Self& self, std::string_view authority);

// Whether `waypoint` names this one: by the hostname of a service it is an endpoint of, by that service's
// address, or by its own address.
bool is_self(const config::Snapshot& snapshot, const Self& self, const config::GatewayAddress& waypoint);

// Whether the service is bound to this waypoint, as its only one or as one of several.
bool is_bound(const config::Snapshot& snapshot, const Self& self, const config::Service& service);

}  // namespace ambientd::l7
