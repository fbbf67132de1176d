// SPDX-License-Identifier: Apache-2.0
// How long a request may take: from the last byte of it that was sent to the last of its response
// (contract/waypoint.md §2.2, §2.3). Without a timeout, which is the default, nothing is armed.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "config/route.h"
#include "core/loop.h"
#include "core/scope.h"
#include "l7/message.h"

namespace ambientd::l7 {

// In milliseconds; 0: none. `rule` may be null. A gRPC request may ask for less than the route allows, and
// for anything where the route says nothing.
uint64_t timeout_of(const config::RouteRule* rule, const Request& request);

// A grpc-timeout field in milliseconds, rounded up: at most eight digits and one of H M S m u n (the gRPC
// protocol over HTTP/2). Nothing: it is not one.
std::optional<uint64_t> grpc_timeout_ms(std::string_view text);

// Ends everything one exchange with an upstream waits for when its time is up.
class RouteTimeout {
 public:
  // `scope` outlives it. `after_ms` 0: never.
  RouteTimeout(Scope& scope, uint64_t after_ms);
  RouteTimeout(const RouteTimeout&) = delete;

  void start();  // the whole request is sent; once, however often it is sent
  void stop() { after_ms_ = 0, timer_.cancel(); }  // for good: an upgraded connection has no end to wait for
  bool expired() const { return expired_; }

 private:
  void expire();
  Scope& scope_;
  uint64_t after_ms_;
  bool started_ = false, expired_ = false;
  Timer timer_;
};

}  // namespace ambientd::l7
