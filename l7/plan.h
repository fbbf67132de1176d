// SPDX-License-Identifier: Apache-2.0
// What becomes of one request, decided before anything is sent: judged, routed, given its headers; then, once
// the filters between have let it pass, given an endpoint (contract/waypoint.md §1.7). Pure: randomness and
// load are arguments.
#pragma once

#include <expected>
#include <optional>
#include <span>
#include <string>

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

// The request is not forwarded: something failed, or configuration has the answer itself.
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
};

// Judges and routes. `request` is clean (l7/request_headers.h) and comes back as the endpoint is to get it.
// `token`: what the JWT filter believed; null: nothing.
std::expected<Plan, Refusal> plan_request(const View& view, const Tunnel& tunnel, Request& request,
                                          const Dice& dice, const policy::VerifiedToken* token = nullptr);

// An endpoint for the plan; again, for another attempt. False: there is none (no_healthy_upstream).
bool place_plan(const View& view, const Tunnel& tunnel, const Picking& picking, Plan& plan);

// Both for a plain TCP connection: policy and an endpoint. Refusal: denied or no_healthy_upstream.
std::expected<Plan, Refusal> plan_connection(const View& view, const Tunnel& tunnel, const Dice& dice,
                                             const LoadOf& load);

}  // namespace ambientd::l7
