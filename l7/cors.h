// SPDX-License-Identifier: Apache-2.0
// Cross-origin requests (the Fetch standard's CORS protocol; contract/waypoint.md §3.5): nothing is ever
// refused, a browser only learns what the route allows.
#pragma once

#include <optional>
#include <string>

#include "config/route.h"
#include "l7/message.h"

namespace ambientd::l7 {

// A request whose origin the route's policy knows.
struct CorsGrant {
  const config::Cors* cors = nullptr;
  std::string origin;
};

// Nothing: the request names no origin, or one that is not allowed. `cors` outlives the grant.
std::optional<CorsGrant> grant_of(const config::Cors& cors, const Request& request);

// The answer to a preflight, where it is ours to give: an OPTIONS that names an origin and a method.
std::optional<Response> preflight(const config::Cors& cors, const std::optional<CorsGrant>& grant,
                                  const Request& request);

// What any response to the request tells the browser.
void allow(const CorsGrant& grant, Response& response);

}  // namespace ambientd::l7
