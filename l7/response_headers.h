// SPDX-License-Identifier: Apache-2.0
// What becomes of an upstream's header fields on their way to the client (contract/waypoint.md §3.2). In this
// order: clean_response() on what the codec read, the route's and then the backend's operations,
// finish_response().
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "config/route.h"
#include "l7/message.h"

namespace ambientd::l7 {

// Removes hop-by-hop fields and those Connection nominates (`upgrade` stays in a 101).
void clean_response(Response& response);

// remove, set, add; never pseudo fields, nor those that frame a message or belong to one hop.
void apply(const config::HeaderOps& ops, Response& response);

// `server: istio-envoy` always, `date` when absent, `x-envoy-upstream-service-time` when `upstream_time` is
// given: from the last byte of the request to the response's head, and only when the request had been sent by
// then. For local replies too, without the latter.
void finish_response(Response& response, std::chrono::system_clock::time_point now,
                     std::optional<std::chrono::milliseconds> upstream_time = {});

std::string http_date(std::chrono::system_clock::time_point when);  // `Sun, 06 Nov 1994 08:49:37 GMT`

}  // namespace ambientd::l7
