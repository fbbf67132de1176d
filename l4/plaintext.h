// SPDX-License-Identifier: Apache-2.0
// What reaches a pod without HBONE: captured on port 15006, judged like any other call but without an
// identity (so STRICT refuses it), and carried to the application it was for (contract/ztunnel.md §2).
#pragma once

#include "core/socket.h"
#include "core/task.h"
#include "l4/worker.h"

namespace ambientd::l4 {

Task<void> serve_plaintext(PodWorker* pod, Fd client);

}  // namespace ambientd::l4
