// SPDX-License-Identifier: Apache-2.0
// The listeners of one pod: bound on the main thread, where a port in use is a start-up failure; polled by
// one worker, which hands accepted sockets on before anything is read from them.
#pragma once

#include <memory>

#include "core/result.h"
#include "core/socket.h"
#include "l4/pod.h"
#include "l4/worker.h"

namespace ambientd::l4 {

struct Listeners {
  Fd outbound, plaintext, hbone;
  bool transparent = false;

  // Binds 15008, 15006 and 15001 in the pod. Errors: io, naming the pod and the port.
  static Result<Listeners> bind(const Pod& pod, const Settings& settings);
};

// Accepts while it lives, on the loop of pod.worker.
class Capture {
 public:
  Capture(Listeners listeners, PodWorker& pod);

 private:
  Acceptor hbone_, plaintext_, outbound_;
};

}  // namespace ambientd::l4
