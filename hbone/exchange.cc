// SPDX-License-Identifier: Apache-2.0
#include "hbone/exchange.h"

#include <fmt/format.h>

#include <algorithm>

#include "hbone/callbacks.h"
#include "hbone/session.h"

namespace ambientd::hbone {

Exchange::Exchange(Session& session)
    : session_(session), head_waiter_("response headers"), window_(session.limits_.stream_window) {
  ++session_.exchanges_;
}

Exchange::~Exchange() { session_.detach(*this); }

void Exchange::let_go() {
  if (!open_) return;
  open_ = false;
  session_.windows_ -= window_;
  nghttp2_session_set_stream_user_data(session_.h2_, id_,
                                       nullptr);  // frames may still be sent after we are gone
}

Status Exchange::HeadersAwaiter::await_resume() {
  if (exchange_.fresh_head_) {
    exchange_.fresh_head_ = false;
    return {};
  }
  if (exchange_.error_) return fail(*exchange_.error_);
  return fail(Errc::http2, "no response headers");
}

Status Exchange::respond(const Headers& headers, bool end) {
  Status good = sendable();
  if (!good) return good;
  int failed = submit_response(session_.h2_, id_, headers, end);
  if (failed != 0) return fail(Errc::http2, fmt::format("h2 failed: {}", nghttp2_strerror(failed)));
  if (end) finishing_ = end_framed_ = true;
  session_.mark_dirty();
  return {};
}

bool Exchange::poll_read(Result<Chunk>& out) {
  if (!kept_.empty()) {
    if (!fresh_.empty()) stash();
    lent_ = kept_.iov();
    out = Chunk{.data = {&lent_, 1}};
    return true;
  }
  if (!fresh_.empty()) {
    out = Chunk{.data = fresh_, .home = session_.home_};
    return true;
  }
  if (eof_) {
    out = Chunk{.eof = true};
    return true;
  }
  if (!error_) return false;
  out = fail(*error_);
  return true;
}

void Exchange::received(const uint8_t* data, size_t n) {
  if (fresh_.empty()) session_.fresh_.push_back(this);
  uint8_t* at = const_cast<uint8_t*>(data);
  if (!fresh_.empty() && static_cast<uint8_t*>(fresh_.back().iov_base) + fresh_.back().iov_len == at) {
    fresh_.back().iov_len += n;
  } else {
    fresh_.push_back({at, n});
  }
  session_.queued(*this, n);
  reader_.wake();
}

void Exchange::stash() {
  for (const iovec& piece : fresh_) kept_.append(piece.iov_base, piece.iov_len);
  std::vector<iovec>().swap(fresh_);
}

void Exchange::drop_front(size_t n) {
  size_t kept = std::min(n, kept_.size());
  if (kept > 0) kept_.drop(kept);
  n -= kept;
  size_t whole = 0;
  for (; whole < fresh_.size() && n >= fresh_[whole].iov_len; ++whole) n -= fresh_[whole].iov_len;
  fresh_.erase(fresh_.begin(), fresh_.begin() + static_cast<ptrdiff_t>(whole));
  if (n > 0) {
    fresh_[0].iov_base = static_cast<uint8_t*>(fresh_[0].iov_base) + n;
    fresh_[0].iov_len -= n;
  }
  if (!fresh_.empty()) return;
  std::vector<iovec>().swap(fresh_);
  std::erase(session_.fresh_, this);
}

// Its reader may still hold what read() lent; it learns by the next read() that there is nothing.
void Exchange::forget_queued() {
  drop_front(queued_);
  session_.unqueued(*this, queued_);
}

void Exchange::consume(size_t n) {
  n = std::min(n, queued_);
  drop_front(n);
  session_.unqueued(*this, n);
  if (!open_) return;
  nghttp2_session_consume_stream(session_.h2_, id_, n);
  grow_window(n);
  session_.mark_dirty();
}

// A stream that drains all it gets earns a larger window; one that stalls keeps what it has.
void Exchange::grow_window(size_t drained) {
  drained_ += drained;
  if (queued_ > 0 || drained_ < window_ || eof_) return;
  drained_ = 0;
  uint32_t wider = std::min(window_ * 2, session_.limits_.stream_window_max);
  if (wider <= window_ || !session_.allows_growth(wider - window_)) return;
  session_.windows_ += wider - window_;
  window_ = wider;
  nghttp2_session_set_local_window_size(session_.h2_, NGHTTP2_FLAG_NONE, id_, static_cast<int32_t>(window_));
}

bool Exchange::poll_write(std::span<const iovec> data, Result<size_t>& out) {
  if (Status good = sendable(); !good) {
    out = fail(std::move(good.error()));
    return true;
  }
  size_t offered = total(data);
  pending_ = data;
  pending_left_ = offered;
  nghttp2_session_resume_data(session_.h2_, id_);
  session_.frame();
  size_t taken = offered - pending_left_;
  pending_ = {};
  pending_left_ = 0;
  if (session_.room() == 0) session_.wait_for_room(*this);
  if (taken == 0 && offered > 0) return false;  // no window, or no room
  session_.mark_dirty();
  out = taken;
  return true;
}

void Exchange::finish() {
  if (finishing_ || !open_ || error_) return;
  finishing_ = true;
  nghttp2_session_resume_data(session_.h2_, id_);
  session_.frame();
  session_.mark_dirty();
}

void Exchange::finish_with(Headers trailers) {
  our_trailers_ = std::move(trailers);
  finish();
}

void Exchange::fail_with(Error error) {
  if (!error_) error_ = std::move(error);
  reader_.wake();
  writer_.wake();
  head_waiter_.wake();
}

// A complete response may tell the client to spare the rest of its request (RFC 9113 §8.1).
uint32_t Exchange::reset_code() const {
  if (end_framed_ && session_.role_ == Session::Role::server) return NGHTTP2_NO_ERROR;
  if (!error_) return NGHTTP2_CANCEL;
  switch (error_->code) {
    case Errc::bad_request:
    case Errc::http2:
      return NGHTTP2_PROTOCOL_ERROR;
    case Errc::overloaded:
      return NGHTTP2_ENHANCE_YOUR_CALM;
    case Errc::refused_stream:
      return NGHTTP2_REFUSED_STREAM;
    default:
      return NGHTTP2_CANCEL;
  }
}

void Exchange::close(Errc why) {
  if (error_) return;
  fail_with({why, std::string(name(why))});
  if (open_ && !(eof_ && finishing_)) session_.reset(*this, reset_code());
}

void Exchange::ended_by_peer(uint32_t code) {
  let_go();
  if (code == NGHTTP2_NO_ERROR && eof_) {  // else it was cut, politely
    if (!finishing_) fail_with({Errc::reset, "stream closed by the peer"});
    reader_.wake();
    head_waiter_.wake();
    return;
  }
  Errc why = code == NGHTTP2_REFUSED_STREAM ? Errc::refused_stream : Errc::reset;
  fail_with({why, fmt::format("stream reset by the peer: {}", nghttp2_http2_strerror(code))});
}

}  // namespace ambientd::hbone
