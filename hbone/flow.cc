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
  Loop::current().queued().take(n);
  credit_connection();
}

void Session::unqueued(Exchange& exchange, size_t n) {
  if (n == 0) return;
  // Taking a part forgives that part of the time: a reader that nibbles stalls, too.
  uint64_t stalled = Loop::current().now_ms() - exchange.stalled_since_ms_;
  exchange.stalled_since_ms_ += stalled * n / exchange.queued_;
  exchange.queued_ -= n;
  queued_ -= n;
  Loop::current().queued().give_back(n);
  credit_connection();
}

// What the peer may still send plus what is queued stays within the bound; while little is queued that means
// credit on arrival. Near the bound somebody stalls: then the clock runs.
// What nobody reads any more (of streams that are gone) counts as received and is credited here, too.
void Session::credit_connection() {
  Loop::Budget& budget = Loop::current().queued();
  size_t limit = limits_.queued_per_connection, reach = queued_ + limits_.connection_window;
  size_t owed = static_cast<size_t>(nghttp2_session_get_effective_recv_data_length(h2_));
  size_t keep = budget.exhausted() ? owed : std::min(owed, reach > limit ? reach - limit : 0);
  // By hand, because nghttp2 would wait for half of the window to be consumed, and half may be withheld.
  if (owed - keep >= limits_.connection_window / 16) {
    nghttp2_submit_window_update(h2_, NGHTTP2_FLAG_NONE, 0, static_cast<int32_t>(owed - keep));
    mark_dirty();
  }
  if (budget.exhausted()) budget.starved.push_back(*this);
  bool full = budget.exhausted() || queued_ >= limit / 8 * 7;
  if (!full || queued_ == 0) {
    stall_timer_.cancel();
  } else if (!stall_timer_.set()) {
    Loop::current().set_timer(stall_timer_, limits_.stall_ms);
  }
}

// The loop has room again.
void Session::fed() { credit_connection(); }

// Windows grow only as long as all of them, full, would leave a quarter of the bound to exchanges that come
// later: so even if every grown one stalls, a neighbour still gets its bytes.
bool Session::allows_growth(size_t by) const {
  const Loop::Budget& budget = Loop::current().queued();
  return budget.used <= budget.limit / 2 && windows_ + by <= limits_.queued_per_connection / 4 * 3;
}

Exchange* Session::longest_stalled() {
  Exchange* worst = nullptr;
  all_.each([&worst](Exchange& exchange) {
    if (exchange.queued_ == 0) return;
    if (!worst || exchange.stalled_since_ms_ < worst->stalled_since_ms_) worst = &exchange;
  });
  return worst;
}

// Over the bound for stall_ms: the exchange whose reader has not moved for longest gives its bytes back. One
// that moves is spared: another connection may be the one that fills the loop.
void Session::on_stall_due() {
  Exchange* worst = longest_stalled();
  if (worst) {
    uint64_t due = worst->stalled_since_ms_ + limits_.stall_ms, now = Loop::current().now_ms();
    if (now < due) return Loop::current().set_timer(stall_timer_, due - now);
    reset_stalled(*worst);
  }
  credit_connection();
}

void Session::reset_stalled(Exchange& exchange) {
  ++counts_.stalled_resets;
  if (exchange.open_) reset(exchange, NGHTTP2_ENHANCE_YOUR_CALM);
  exchange.fail_with(
      {Errc::overloaded, "reset: its reader stalled while the connection was out of buffer space"});
  exchange.forget_queued();
}

// Windows that were given cannot be taken back, so many connections together may send more than the loop's
// budget. At twice the budget a connection that holds more than its share pays at once.
void Session::enforce_budget() {
  const Loop::Budget& budget = Loop::current().queued();
  while (budget.used > 2 * budget.limit && queued_ > budget.limit / 64) {
    Exchange* worst = longest_stalled();
    if (!worst) return;
    reset_stalled(*worst);
  }
}

}  // namespace ambientd::hbone
