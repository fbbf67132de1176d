// SPDX-License-Identifier: Apache-2.0
// Where a captured connection goes, and how: one pure function over a Snapshot (contract/ztunnel.md §4). It
// fails closed: a waypoint or a network gateway that cannot be resolved is an error and never a plaintext
// connection; plaintext goes only to what the mesh says speaks no HBONE, or does not know at all.
//
// Asked again with what failed meanwhile (`tried`) it names another endpoint, or says that there is none
// left.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/balance.h"
#include "config/snapshot.h"
#include "core/ip.h"
#include "core/options.h"
#include "core/result.h"
#include "core/spiffe.h"

namespace ambientd::l4 {

struct Call {
  const config::Workload& self;  // whose application calls
  Ip from;                       // the application's address
  SockAddr target;               // where it meant to go (SO_ORIGINAL_DST)
};

// What an operator decides for all calls.
struct Rules {
  std::string_view network;  // the one this proxy is on
  MissingWaypoint missing_waypoint = MissingWaypoint::istio;
};

struct Decision {
  // double_hbone: an HBONE connection to the real peer, inside a tunnel through a network gateway.
  enum class Protocol : uint8_t { tcp, hbone, double_hbone };
  Protocol protocol = Protocol::tcp;
  SockAddr to;                        // the next hop, to be dialled
  std::string authority;              // HBONE: what is asked for, `10.0.0.7:80`; of both CONNECTs when double
  std::vector<Identity> peers;        // HBONE: any of these may answer
  config::WorkloadPtr workload;       // who is called: an endpoint or a waypoint; null: unknown to the mesh
  config::ServicePtr service;         // the service the application meant; null: none
  std::vector<Identity> inner_peers;  // double HBONE: any of these may answer behind the gateway
  config::WorkloadPtr gateway;        // double HBONE: the next hop's record
  uint16_t app_port = 0;              // HBONE to the workload itself: the port within `authority`
  std::string hostname;               // `to` has no address yet: resolve this, then complete()
  std::string skipped_waypoint;       // one that was asked for, is missing, and was passed by
};

// What the decision went by, step by step: for people who ask why.
struct Trace {
  struct Choosing {
    std::string_view what;  // `endpoint`, `waypoint` or `network gateway`
    config::ServicePtr of;
    uint16_t port = 0;  // service port
    std::vector<config::Candidate> candidates;
  };
  config::WorkloadPtr addressed;  // the target is a workload's address …
  config::ServicePtr service;     // … or else a service's
  std::vector<Choosing> choices;
};

// `random`: 64 uniform bits. A `trace` costs what config::candidates() costs. Errors: no_healthy_upstream,
// no_destination, unknown_waypoint, not_found (another network, and no service to reach it
// by).
Result<Decision> decide(const config::Snapshot& snapshot, const Rules& rules, const Call& call,
                        uint64_t random, config::Tried tried = {}, Trace* trace = nullptr);

// Sets the address of a decision that waited for DNS. `addresses`: what its hostname resolved to, at least
// one of a family that the service allows, else Errc::no_destination.
Status complete(Decision& decision, std::span<const Ip> addresses, const Call& call);

// Who failed when a decision did: not to be tried again.
std::vector<config::WorkloadPtr> hops(const Decision& decision);

// A call to one of our own ports that would come back to us: to a loopback address, or to the very socket
// that accepted it, which then was not captured but dialled.
bool calls_ourselves(const SockAddr& target, const SockAddr& local);

}  // namespace ambientd::l4
