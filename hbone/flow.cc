// SPDX-License-Identifier: Apache-2.0
// The receive side's accounting: who holds how many bytes, who is credited, and who is reset when a bound is
// reached. session.h explains the idea.
#include <nghttp2/nghttp2.h>

#include <algorithm>

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

// What the peer may still send plus what is queued stays within the bound; while little is queued that means
// credit on arrival. Near the bound somebody stalls: then the clock runs.
void Session::credit_connection() {
  const Loop::Budget& budget = Loop::current().queued();
  size_t limit = limits_.queued_per_connection, reach = queued_ + limits_.connection_window;
  bool exhausted = budget.used > budget.limit;
  size_t keep = exhausted ? withheld_ : std::min(withheld_, reach > limit ? reach - limit : 0);
  // By hand, because nghttp2 would wait for half of the window to be consumed, and half may be withheld.
  if (withheld_ - keep >= limits_.connection_window / 16) {
    nghttp2_submit_window_update(h2_, NGHTTP2_FLAG_NONE, 0, static_cast<int32_t>(withheld_ - keep));
    withheld_ = keep;
    mark_dirty();
  }
  if (!exhausted && queued_ < limit / 8 * 7) {
    stall_timer_.cancel();
  } else if (!stall_timer_.set()) {
    Loop::current().set_timer(stall_timer_, limits_.stall_ms);
  }
}

// Windows grow only as long as all of them, full, would leave a quarter of the bound to exchanges that come
// later: so even if every grown one stalls, a neighbour still gets its bytes.
bool Session::allows_growth(size_t by) const {
  const Loop::Budget& budget = Loop::current().queued();
  return budget.used <= budget.limit / 2 && windows_ + by <= limits_.queued_per_connection / 4 * 3;
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
