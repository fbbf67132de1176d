// SPDX-License-Identifier: Apache-2.0
// What peers send to port 15008: one story per connection (TLS, then HTTP/2), one per CONNECT in it
// (contract/ztunnel.md §5.3): validate, judge, dial the application from the client's address, 200, relay.
#pragma once

#include "core/socket.h"
#include "core/task.h"
#include "l4/worker.h"

namespace ambientd::l4 {

// Serves an accepted connection until it ends. A peer that does not finish its handshake in time is shed.
Task<void> serve_peer(PodWorker* pod, Fd peer);

}  // namespace ambientd::l4
