// SPDX-License-Identifier: Apache-2.0
// What becomes of one request, decided before anything is sent: judged and routed; then, once the filters
// between have let it pass, answered by its rule or given its headers and an endpoint (contract/waypoint.md
// §1.7). Pure: randomness and load are arguments.
#pragma once

#include <expected>
#include <optional>
#include <span>
#include <string>

#include "l7/cors.h"
#include "l7/outcome.h"
#include "l7/place.h"
#include "l7/telemetry.h"
#include "l7/view.h"
#include "policy/verified_token.h"

namespace ambientd::l7 {

// What all requests of one tunnel share.
struct Tunnel {
  Target target;
  std::shared_ptr<const Caller> caller;
  SockAddr peer;  // the client pod, as the tunnel's connection came from there
};

// The request is not forwarded.
struct Refusal {
  Cause cause;
  Note note;
};

struct Plan {
  Protocol protocol = Protocol::http1;  // towards the endpoint
  config::ServicePtr service;           // the routed one; null for a direct request
  uint16_t service_port = 0;            // of it
  RouteTablePtr table;                  // keeps the two below
  const config::RouteRule* rule = nullptr;
  const config::Backend* backend = nullptr;
  Destination to;
  config::WorkloadPtr endpoint;  // null: not placed yet
  std::optional<CorsGrant> cors;
};

// Judges, and finds the rule. `request` is clean (l7/request_headers.h).
// `token`: what the JWT filter believed; null: nothing.
std::expected<Plan, Refusal> plan_request(const View& view, const Tunnel& tunnel, const Request& request,
                                          const policy::VerifiedToken* token = nullptr);

// Does what the plan's rule says: it has an answer of its own, or chooses a backend, and `request` comes back
// as that is to get it. `random` is uniform.
std::optional<LocalReply> take_route(const View& view, const Tunnel& tunnel, uint64_t random,
                                     Request& request, Plan& plan);

// An endpoint for the plan; again, for another attempt. False: there is none (no_healthy_upstream).
bool place_plan(const View& view, const Tunnel& tunnel, const Picking& picking, Plan& plan);

// Both for a plain TCP connection: policy and an endpoint. Refusal: denied or no_healthy_upstream.
std::expected<Plan, Refusal> plan_connection(const View& view, const Tunnel& tunnel, const Dice& dice,
                                             const LoadOf& load);

}  // namespace ambientd::l7
