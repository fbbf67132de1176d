// SPDX-License-Identifier: Apache-2.0
// A request's body on its way up, while the response is waited for.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "core/task.h"
#include "l7/body.h"
#include "l7/codec.h"
#include "l7/timeout.h"

namespace ambientd::l7 {

// All it is given outlives it.
struct Upload {
  using Clock = std::chrono::steady_clock;

  Upload(ServerExchange& from, ClientExchange& to, RouteTimeout& all, RouteTimeout& one)
      : client(from), upstream(to), timeout(all), try_timeout(one), pump(from.stream(), to.stream()) {
    if (!client.request.has_body) done();
  }

  void done() {
    sent_at = Clock::now();
    timeout.start();
    try_timeout.start();
  }

  Task<void> run(uint64_t& bytes) {
    co_await pump.run(bytes);
    if (pump.source_error()) upstream.stream().close(Errc::reset);
    if (!pump.whole()) co_return;
    Status sent = co_await upstream.finish(client.trailers());
    if (sent) done();
  }

  // What is still to be sent is not wanted any more.
  void abandon() {
    pump.stop();
    upstream.stream().close(Errc::closed);
  }

  ServerExchange& client;
  ClientExchange& upstream;
  RouteTimeout& timeout;      // of the request
  RouteTimeout& try_timeout;  // of this attempt
  BodyPump pump;
  std::optional<Clock::time_point> sent_at;  // the whole request
};

}  // namespace ambientd::l7
