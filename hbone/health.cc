// SPDX-License-Identifier: Apache-2.0
// Whether the peer still deserves the connection: it answers pings, and does not make us reset streams for
// it.
#include <openssl/rand.h>

#include <algorithm>

#include "hbone/session.h"

namespace ambientd::hbone {

void Session::on_ping_due() {
  uint64_t now = Loop::current().now_ms();
  if (ping_sent_ms_ != 0 && now - ping_sent_ms_ >= limits_.ping_timeout_ms) {
    ++counts_.ping_timeouts;
    if (!error_) error_ = Error{Errc::timed_out, "HBONE ping timeout"};
    transport_.close(Errc::timed_out);
    return;
  }
  if (ping_sent_ms_ == 0) {
    ping_sent_ms_ = now;
    RAND_bytes(ping_.data(), ping_.size());
    nghttp2_submit_ping(h2_, NGHTTP2_FLAG_NONE, ping_.data());
    mark_dirty();
  }
  Loop::current().set_timer(ping_timer_, limits_.ping_every_ms);
}

// Only who reads what we send can answer: a peer that does not read is given up, whatever it says.
void Session::on_pong(const nghttp2_frame& frame) {
  if ((frame.hd.flags & NGHTTP2_FLAG_ACK) == 0) return;
  if (std::ranges::equal(ping_, frame.ping.opaque_data)) ping_sent_ms_ = 0;
}

// Resets that a peer's misbehaviour forces on us are how MadeYouReset spends our work (CVE-2025-8671).
void Session::on_forced_reset() {
  static constexpr uint64_t kForgiveEveryMs = 100;
  ++counts_.our_resets;
  uint64_t now = Loop::current().now_ms(), forgiven = (now - forgiven_ms_) / kForgiveEveryMs;
  forced_resets_ -= std::min(forced_resets_, forgiven);
  forgiven_ms_ += forgiven * kForgiveEveryMs;
  if (++forced_resets_ < limits_.max_resets || terminated_) return;
  terminated_ = true;
  nghttp2_session_terminate_session(h2_, NGHTTP2_ENHANCE_YOUR_CALM);
}

}  // namespace ambientd::hbone
