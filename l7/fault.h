// SPDX-License-Identifier: Apache-2.0
// Faults a route injects into its own requests (contract/waypoint.md §2.2): a delay first, then an abort.
#pragma once

#include <cstdint>

#include "config/route.h"
#include "l7/message.h"
#include "l7/outcome.h"

namespace ambientd::l7 {

struct Fault {
  uint64_t delay_ms = 0;
  bool abort = false;
};

// What one request meets; the two are rolled independently. `first` and `second` are uniform.
Fault roll(const config::FaultInjection& faults, uint64_t first, uint64_t second);

// A gRPC status reaches a client that does not speak gRPC as the HTTP status that means the same.
LocalReply abort_reply(const config::FaultInjection& faults, const Request& request);

}  // namespace ambientd::l7
