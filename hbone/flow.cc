// SPDX-License-Identifier: Apache-2.0
// The receive side's accounting: who holds how many bytes, who is credited, and who is reset when a bound is
// reached. session.h explains the idea.
#include <nghttp2/nghttp2.h>

#include "hbone/session.h"

namespace ambientd::hbone {

void Session::queued(Exchange& exchange, size_t n) {
  if (exchange.queued_ == 0) exchange.stalled_since_ms_ = Loop::current().now_ms();
  exchange.queued_ += n;
  queued_ += n;
  withheld_ += n;
  Loop::current().queued().used += n;
  credit_connection();
}

void Session::unqueued(Exchange& exchange, size_t n) {
  if (n == 0) return;
  exchange.queued_ -= n;
  exchange.stalled_since_ms_ = Loop::current().now_ms();
  queued_ -= n;
  Loop::current().queued().used -= n;
  credit_connection();
}

void Session::credit_connection() {
  const Loop::Budget& budget = Loop::current().queued();
  bool over = queued_ > limits_.queued_per_connection || budget.used > budget.limit;
  if (!over && withheld_ > 0) {
    nghttp2_session_consume_connection(h2_, withheld_);
    withheld_ = 0;
    stall_timer_.cancel();
  } else if (over && !stall_timer_.set()) {
    Loop::current().set_timer(stall_timer_, limits_.stall_ms);
  }
}

// Over the bound for stall_ms: the exchange whose reader has not moved for longest gives its bytes back.
void Session::reset_longest_stalled() {
  Exchange* worst = nullptr;
  open_.each([&worst](Exchange& exchange) {
    if (exchange.queued_ == 0) return;
    if (!worst || exchange.stalled_since_ms_ < worst->stalled_since_ms_) worst = &exchange;
  });
  if (!worst) return;
  ++counts_.stalled_resets;
  reset(*worst, NGHTTP2_ENHANCE_YOUR_CALM);
  worst->fail_with(
      {Errc::overloaded, "reset: its reader stalled while the connection was out of buffer space"});
  credit_connection();
}

}  // namespace ambientd::hbone
