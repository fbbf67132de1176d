// SPDX-License-Identifier: Apache-2.0
#include "hbone/exchange.h"

#include <fmt/format.h>

#include <algorithm>

#include "hbone/callbacks.h"
#include "hbone/session.h"

namespace ambientd::hbone {
namespace {

thread_local std::vector<std::unique_ptr<Unread>> spare_unread;

}  // namespace

std::unique_ptr<Unread> Unread::take() {
  if (spare_unread.empty()) return std::make_unique<Unread>();
  std::unique_ptr<Unread> out = std::move(spare_unread.back());
  spare_unread.pop_back();
  return out;
}

// Kept in as far as they are small and few: one that many small frames at once made large goes.
void Unread::give_back(std::unique_ptr<Unread> empty) {
  static constexpr size_t kSpares = 128, kPieces = 16;
  if (spare_unread.size() < kSpares && empty->fresh.capacity() <= kPieces)
    spare_unread.push_back(std::move(empty));
}

Exchange::Exchange(Session& session) : session_(session), window_(session.limits_.stream_window) {
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
  if (unread_ && !unread_->kept.empty()) {
    if (!unread_->fresh.empty()) stash();
    unread_->lent = unread_->kept.iov();
    out = Chunk{.data = {&unread_->lent, 1}};
    return true;
  }
  if (unread_) {
    out = Chunk{.data = unread_->fresh, .home = session_.home_};
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
  if (n == 0) return;
  if (!unread_) unread_ = Unread::take();
  std::vector<iovec>& fresh = unread_->fresh;
  if (fresh.empty()) session_.fresh_.push_back(this);
  uint8_t* at = const_cast<uint8_t*>(data);
  if (!fresh.empty() && static_cast<uint8_t*>(fresh.back().iov_base) + fresh.back().iov_len == at) {
    fresh.back().iov_len += n;
  } else {
    fresh.push_back({at, n});
  }
  session_.queued(*this, n);
  reader_.wake();
}

void Exchange::stash() {
  for (const iovec& piece : unread_->fresh) unread_->kept.append(piece.iov_base, piece.iov_len);
  unread_->fresh.clear();
}

void Exchange::drop_front(size_t n) {
  if (!unread_) return;
  std::vector<iovec>& fresh = unread_->fresh;
  size_t kept = std::min(n, unread_->kept.size());
  if (kept > 0) unread_->kept.drop(kept);
  n -= kept;
  size_t whole = 0;
  for (; whole < fresh.size() && n >= fresh[whole].iov_len; ++whole) n -= fresh[whole].iov_len;
  fresh.erase(fresh.begin(), fresh.begin() + static_cast<ptrdiff_t>(whole));
  if (n > 0) {
    fresh[0].iov_base = static_cast<uint8_t*>(fresh[0].iov_base) + n;
    fresh[0].iov_len -= n;
  }
  if (!fresh.empty()) return;
  std::erase(session_.fresh_, this);
  if (unread_->kept.empty()) Unread::give_back(std::move(unread_));
}

// Its reader may still hold what read() lent; it learns by the next read() that there is nothing.
void Exchange::forget_queued() {
  drop_front(queued_);
  session_.unqueued(*this, queued_);
}

void Exchange::consume(size_t n) {
  n = std::min<size_t>(n, queued_);
  drop_front(n);
  session_.unqueued(*this, n);
  if (!open_) return;
  nghttp2_session_consume_stream(session_.h2_, id_, n);
  grow_window(n);
  session_.mark_dirty();
}

// A stream that drains all it gets earns a larger window; one that stalls keeps what it has.
void Exchange::grow_window(size_t drained) {
  drained_ += static_cast<uint32_t>(drained);
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
  size_t taken = offered - session_.frame_offer({.by = this, .data = data, .left = offered});
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
  heads().our_trailers = std::move(trailers);
  finish();
}

void Exchange::fail_with(Error error) {
  if (!error_) error_ = std::make_unique<Error>(std::move(error));
  reader_.wake();
  writer_.wake();
  if (heads_) heads_->arrived.wake();
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
    if (heads_) heads_->arrived.wake();
    return;
  }
  Errc why = code == NGHTTP2_REFUSED_STREAM ? Errc::refused_stream : Errc::reset;
  fail_with({why, fmt::format("stream reset by the peer: {}", nghttp2_http2_strerror(code))});
}

}  // namespace ambientd::hbone
