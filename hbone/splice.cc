// SPDX-License-Identifier: Apache-2.0
#include "hbone/splice.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>

#include "hbone/session.h"

namespace ambientd::hbone {
namespace {

constexpr size_t kFrameHeader = 9;         // bytes (RFC 9113 §4.1)
constexpr size_t kReadAtOnce = 256 << 10;  // of an application's bytes: fewer, larger reads cost less

Next end(Exchange& tunnel) {
  tunnel.finish();
  return Next::ended;
}

// One read into one or more frames.
[[gnu::noinline]] Next read_into_frames(TcpStream& app, Exchange& tunnel, uint64_t& bytes, Status& status) {
  if (!app.may_read()) return Next::wait_read;
  Status good = tunnel.sendable();
  if (!good) return give_up(app, tunnel, std::move(good.error()), status);
  // An end needs no window, so it need not wait for any.
  if (!tunnel.may_send()) return app.at_end() ? end(tunnel) : Next::wait_write;
  std::span<const iovec> room = tunnel.room(kReadAtOnce);
  if (room.empty()) return Next::again;
  Result<TcpStream::Arrived> arrived = app.read_into(room);
  if (!arrived) return give_up(app, tunnel, std::move(arrived.error()), status);
  if (arrived->eof) return end(tunnel);
  if (arrived->n == 0) return Next::again;
  Status filled = tunnel.fill(arrived->n);
  if (!filled) return give_up(app, tunnel, std::move(filled.error()), status);
  bytes += arrived->n;
  return Next::again;
}

}  // namespace

std::span<const iovec> Session::slots(size_t window) {
  size_t most_in_frame = std::min<size_t>(
      nghttp2_session_get_remote_settings(h2_, NGHTTP2_SETTINGS_MAX_FRAME_SIZE), kReadAtOnce);
  size_t n = std::min((window + most_in_frame - 1) / most_in_frame, slots_.pieces.size());
  if (batch_.capacity() == 0) batch_ = Loop::current().take_buffer();
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

Status Exchange::sendable() const {
  if (error_) return fail(*error_);
  if (!open_) return fail(Errc::reset, "stream closed");
  return {};
}

Status Exchange::fill(size_t n) {
  session_.slots_.filled = true;
  size_t left = session_.frame_offer({.by = this, .left = n});
  session_.slots_.filled = false;
  session_.mark_dirty();
  if (left == 0) return {};
  Status why = sendable();
  if (why) why = fail(Errc::http2, "a frame was cut");
  return why;
}

Pumps splice(TcpStream& app, Stream& stream, uint64_t& sent, uint64_t& received) {
  constexpr auto generic = pump_by<pump_once, Stream, Stream>;
  auto* tunnel = dynamic_cast<Exchange*>(&stream);
  if (!tunnel) return Pumps(generic, generic, static_cast<Stream&>(app), stream, sent, received);
  tunnel->forget_head();
  return Pumps(pump_by<read_into_frames, TcpStream, Exchange>, pump_by<pump_once, Exchange, TcpStream>, app,
               *tunnel, sent, received);
}

}  // namespace ambientd::hbone
