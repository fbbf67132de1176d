// SPDX-License-Identifier: Apache-2.0
// An HTTP/1.1 connection that we serve: one exchange after another, however many requests the client sends
// ahead. What cannot be understood is answered and ends the connection; so does an answer given before all of
// the request was read, unless the rest is short. While a request is answered its connection is watched: when
// the client goes, the exchange's scope is closed.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "l7/codec.h"
#include "l7/http1_stream.h"

namespace ambientd::l7 {

struct Http1Limits {
  uint64_t idle_ms = 3'600'000;  // between requests (contract/waypoint.md §2.3)
  uint64_t head_ms = 60'000;     // from the first byte of a head to its last
  uint64_t linger_ms = 2'000;    // for the rest of a request that was answered early
  uint64_t linger_bytes = 1 << 20;
};

class Http1Server final : public Closable, public Listed<Http1Server> {
 public:
  // `transport` and `handler` outlive it.
  Http1Server(Stream& transport, Handler& handler, const Http1Limits& limits = {});

  Task<void> serve();  // until the connection ends; call once
  void drain();        // ends it after the request it is in, or at once when there is none
  void close(Errc why) override { transport_.close(why); }

 private:
  class Exchange;
  Task<bool> first_byte();
  Task<Result<http1::Head>> next_head();
  Task<bool> serve_one(http1::Head head);
  Task<void> watch(Scope& scope);
  Task<void> refuse(Cause cause, std::string details);
  Task<bool> read_the_rest();
  Task<void> say_goodbye();

  Stream& transport_;
  Handler& handler_;
  Http1Limits limits_;
  Http1Stream stream_;
  bool draining_ = false;
  bool idle_ = true;
  bool leaving_ = false;  // the last answer has been given
  bool raw_ = false;      // an upgrade took the connection over
  Event unwatched_{"end of the watch over the client"};
};

}  // namespace ambientd::l7
