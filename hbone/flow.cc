// SPDX-License-Identifier: Apache-2.0
// The receive side's accounting: who holds how many bytes, who is credited, and who is reset when a bound is
// reached. session.h explains the idea.
#include <nghttp2/nghttp2.h>

#include <algorithm>

#include "core/log.h"
#include "hbone/session.h"

namespace ambientd::hbone {

void Session::queued(Exchange& exchange, size_t n) {
  if (exchange.queued_ == 0) exchange.stalled_since_ms_ = Loop::current().now_ms();
  exchange.queued_ += static_cast<uint32_t>(n);
  queued_ += n;
  Loop::current().queued().take(n);
  credit_connection();
}

void Session::unqueued(Exchange& exchange, size_t n) {
  if (n == 0) return;
  // Taking a part forgives that part of the time: a reader that nibbles stalls, too.
  uint64_t stalled = Loop::current().now_ms() - exchange.stalled_since_ms_;
  exchange.stalled_since_ms_ += stalled * n / exchange.queued_;
  exchange.queued_ -= static_cast<uint32_t>(n);
  queued_ -= n;
  Loop::current().queued().give_back(n);
  credit_connection();
}

// What the peer may still send plus what is queued stays within the bound; while little is queued that means
// credit on arrival. Near the bound somebody stalls: then the clock runs.
// What nobody reads any more (of streams that are gone) counts as received and is credited here, too.
void Session::credit_connection() {
  const Loop::Budget& budget = Loop::current().queued();
  size_t limit = limits_.queued_per_connection, reach = queued_ + limits_.connection_window;
  size_t owed = static_cast<size_t>(nghttp2_session_get_effective_recv_data_length(h2_));
  size_t keep = budget.exhausted ? owed : std::min(owed, reach > limit ? reach - limit : 0);
  // By hand, because nghttp2 would wait for half of the window to be consumed, and half may be withheld.
  if (owed - keep >= limits_.connection_window / 16) {
    nghttp2_submit_window_update(h2_, NGHTTP2_FLAG_NONE, 0, static_cast<int32_t>(owed - keep));
    mark_dirty();
  }
  if (queued_ == 0 || !(full() || budget.exhausted)) {
    stall_timer_.cancel();
  } else if (!stall_timer_.set()) {
    Loop::current().set_timer(stall_timer_, limits_.stall_ms);
  }
}

bool Session::full() const { return queued_ >= limits_.queued_per_connection / 8 * 7; }

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

// The exchange whose reader has not moved for longest gives its bytes back; without `now` only if that is
// stall_ms.
bool Session::pay(bool now) {
  Exchange* worst = longest_stalled();
  if (!worst || (!now && Loop::current().now_ms() < worst->stalled_since_ms_ + limits_.stall_ms))
    return false;
  reset_stalled(*worst);
  return true;
}

// Somebody has been over a bound for stall_ms: we, or who holds most of the loop's budget.
void Session::on_stall_due() {
  Loop::Budget& budget = Loop::current().queued();
  Loop::Holder* debtor = full() ? this : budget.largest();
  if (debtor) debtor->pay(false);
  credit_connection();
}

void Session::reset_stalled(Exchange& exchange) {
  ++counts_.stalled_resets;
  log::warn("hbone", "a stalled stream was reset because buffer space ran out",
            {{"stream", exchange.id_}, {"bytes", exchange.queued_}});
  if (exchange.open_) reset(exchange, NGHTTP2_ENHANCE_YOUR_CALM);
  exchange.fail_with(
      {Errc::overloaded, "reset: its reader stalled while the connection was out of buffer space"});
  exchange.forget_queued();
}

// Windows that were given cannot be taken back, so many connections together may send more than the loop's
// budget. At twice the budget who holds most pays at once.
void Session::enforce_budget() {
  Loop::Budget& budget = Loop::current().queued();
  while (budget.used > 2 * budget.limit) {
    Loop::Holder* debtor = budget.largest();
    if (!debtor || !debtor->pay(true)) return;
  }
}

}  // namespace ambientd::hbone
