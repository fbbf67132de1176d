// SPDX-License-Identifier: Apache-2.0
#include "hbone/splice.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>

#include "hbone/session.h"

namespace ambientd::hbone {
namespace {

constexpr size_t kFrameHeader = 9;         // bytes (RFC 9113 §4.1)
constexpr size_t kReadAtOnce = 256 << 10;  // of an application's bytes: fewer, larger reads cost less

Status give_up(TcpStream& app, Exchange& tunnel, Error error) {
  app.close(error.code);
  tunnel.close(error.code);
  return fail(std::move(error));
}

Task<Status> upload(TcpStream& app, Exchange& tunnel, uint64_t& bytes) {
  for (;;) {
    Status readable = co_await app.readable();
    if (!readable) co_return give_up(app, tunnel, std::move(readable.error()));
    if (!tunnel.may_send() && app.at_end()) break;  // what needs no window need not wait for it
    Status has_room = co_await tunnel.has_room();
    if (!has_room) co_return give_up(app, tunnel, std::move(has_room.error()));
    std::span<const iovec> room = tunnel.room(kReadAtOnce);
    if (room.empty()) continue;
    Result<TcpStream::Arrived> arrived = app.read_into(room);
    if (!arrived) co_return give_up(app, tunnel, std::move(arrived.error()));
    if (arrived->eof) break;
    if (arrived->n == 0) continue;
    Status filled = tunnel.fill(arrived->n);
    if (!filled) co_return give_up(app, tunnel, std::move(filled.error()));
    bytes += arrived->n;
  }
  tunnel.finish();
  co_return Status{};
}

}  // namespace

std::span<const iovec> Session::slots(size_t window) {
  size_t most_in_frame = std::min<size_t>(
      nghttp2_session_get_remote_settings(h2_, NGHTTP2_SETTINGS_MAX_FRAME_SIZE), kReadAtOnce);
  size_t n = std::min((window + most_in_frame - 1) / most_in_frame, slots_.pieces.size());
  uint8_t* at = batch_.room(window + n * kFrameHeader);
  slots_.size = most_in_frame;
  for (size_t i = 0; i < n; ++i) {
    at += kFrameHeader;
    slots_.pieces[i] = {at, std::min(window, most_in_frame)};
    at += slots_.pieces[i].iov_len;
    window -= slots_.pieces[i].iov_len;
  }
  return std::span(slots_.pieces).first(n);
}

std::span<const iovec> Exchange::room(size_t most) {
  if (error_ || !open_) return {};
  session_.frame();  // what else is to be sent goes first: nothing may come between the slots' frames
  if (error_ || !open_) return {};
  size_t window = send_window(), room = session_.room();
  if (window == 0 || room == 0) return {};
  return session_.slots(std::min({most, room, window}));
}

size_t Exchange::send_window() const {
  int32_t window = std::min(nghttp2_session_get_stream_remote_window_size(session_.h2_, id_),
                            nghttp2_session_get_remote_window_size(session_.h2_));
  return static_cast<size_t>(std::max(window, 0));
}

bool Exchange::may_send() {
  if (session_.room() == 0) {
    session_.wait_for_room(*this);
    return false;
  }
  if (send_window() > 0) return true;
  nghttp2_session_resume_data(session_.h2_, id_);  // so that it asks for data once there is window
  session_.frame();
  return false;
}

Status Exchange::RoomAwaiter::await_resume() const {
  if (exchange_.error_ || !exchange_.open_)
    return fail(exchange_.error_.value_or(Error{Errc::reset, "stream closed"}));
  return {};
}

Status Exchange::fill(size_t n) {
  pending_left_ = n;
  session_.slots_.filled = true;
  nghttp2_session_resume_data(session_.h2_, id_);
  session_.frame();
  session_.slots_.filled = false;
  size_t left = std::exchange(pending_left_, 0);
  session_.mark_dirty();
  if (left == 0) return {};
  return fail(error_.value_or(Error{Errc::reset, "stream closed"}));
}

Task<Status> splice(TcpStream& app, Stream& stream, uint64_t& sent, uint64_t& received) {
  auto* tunnel = dynamic_cast<Exchange*>(&stream);
  Task<Status> up = tunnel ? upload(app, *tunnel, sent) : pump(app, stream, sent);
  up.start();
  Status down = co_await pump(stream, app, received);
  Status first = co_await up;
  co_return first ? down : first;
}

}  // namespace ambientd::hbone
