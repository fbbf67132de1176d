// SPDX-License-Identifier: Apache-2.0
// A tunnel to a port that is not HTTP: judged once, then joined with an endpoint byte for byte
// (contract/waypoint.md §1.7, §1.12).
#pragma once

#include "core/stream.h"
#include "core/task.h"
#include "l7/plan.h"
#include "l7/worker.h"

namespace ambientd::l7 {

// `client` is closed when it is refused, and when it breaks; both outlive it.
Task<void> proxy_tcp(Worker& worker, Tunnel tunnel, Stream& client);

}  // namespace ambientd::l7
