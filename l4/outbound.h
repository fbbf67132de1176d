// SPDX-License-Identifier: Apache-2.0
// The story of a captured connection: an application called, the kernel redirected it to port 15001, and here
// it is carried to where it meant to go (contract/ztunnel.md §4, §5.2).
#pragma once

#include "core/socket.h"
#include "core/task.h"
#include "l4/decide.h"
#include "l4/worker.h"

namespace ambientd::l4 {

// What the accepting worker has found out; the connection may be carried by another one.
struct Captured {
  config::WorkloadPtr self;
  SockAddr from, target;
  Decision decision;
};

// Decides over a connection accepted on 15001, at once or when it is known who the pod is, and hands it to
// the worker that owns its way. A refusal is logged and closes the connection.
void take_call(PodWorker& pod, Fd app, const SockAddr& from);

// Carries it: tunnel or plain TCP, relay, report.
Task<void> carry_call(PodWorker* pod, Fd app, Captured call);

// The worker that carries it (spread.h).
Worker& carrier_of(const Captured& call, const std::vector<Worker*>& workers);

hbone::PoolKey pool_key(const Captured& call);
// With a new traceparent. `network`: ours, where the peer must be told.
hbone::Connect connect_request(const Captured& call, std::optional<std::string> network = {});

}  // namespace ambientd::l4
