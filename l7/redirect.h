// SPDX-License-Identifier: Apache-2.0
// Where a route sends a client that is to ask elsewhere (contract/waypoint.md §2.1, §2.2).
#pragma once

#include <cstdint>
#include <string>

#include "config/route.h"
#include "l7/message.h"

namespace ambientd::l7 {

// The value of Location: always absolute. The host and its port are the request's where the redirect says
// nothing; a port is left out where it is the scheme's own, or was the old scheme's. `port` is the one that
// was called.
std::string location(const config::Redirect& redirect, const config::PathMatch& match, const Request& request,
                     uint16_t port);

}  // namespace ambientd::l7
