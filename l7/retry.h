// SPDX-License-Identifier: Apache-2.0
// Whether a request is sent to another endpoint, and after how long (contract/waypoint.md §2.3). By default
// every route of a service tries twice more what its endpoint has provably not seen, so that one that has
// just gone costs its callers nothing; a route may ask for more.
#pragma once

#include <cstdint>

#include "config/route.h"
#include "core/loop.h"
#include "core/scope.h"
#include "core/wait.h"
#include "l7/message.h"
#include "l7/outcome.h"

namespace ambientd::l7 {

// Of a rule, or what holds where there is none.
const config::RetryPolicy& retry_policy(const config::RouteRule* rule);

// Whether the policy sends a request again that failed by `cause` before its endpoint saw it.
bool retries_unsent(const config::RetryPolicy& policy, Cause cause);

// Whether the policy sends a request again for this answer, nothing of which has reached the client. gRPC
// statuses count where they stand in the header section.
bool retries_answer(const config::RetryPolicy& policy, const Response& response);

// The same for an endpoint that may have seen the request and gave no answer.
bool retries_broken(const config::RetryPolicy& policy, Cause cause);

// How long to wait before retry `n` (from 0), full jitter: less than base, three, seven times it and so on,
// at most max. `random` is uniform.
uint64_t backoff_ms(const config::RetryPolicy& policy, uint32_t n, uint64_t random);

// A wait that its scope can end: co_await pause.over.
class Pause final : public Closable {
 public:
  Pause(Scope& scope, uint64_t ms) : timer_([this] { over.set(); }) {
    scope.add(*this);
    Loop::current().set_timer(timer_, ms);
  }
  Pause(const Pause&) = delete;
  void close(Errc) override { over.set(); }

  Event over{"retry back-off"};

 private:
  Timer timer_;
};

}  // namespace ambientd::l7
