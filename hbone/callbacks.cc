// SPDX-License-Identifier: Apache-2.0
#include "hbone/callbacks.h"

#include <algorithm>
#include <span>
#include <string_view>
#include <vector>

#include "hbone/session.h"

namespace ambientd::hbone {
namespace {

constexpr size_t kMaxFrame = 256 << 10;  // of DATA we send: larger ones keep neighbours waiting
constexpr size_t kMaxBacklog =
    2 << 20;  // of frames no window bounds, before a peer that does not read is given up

// Fields whose value is another one in each request. Both sides would remember every one of them, in place of
// those that come again.
bool is_unique(std::string_view name) {
  return name == "traceparent" || name == "forwarded" || name == "x-request-id";
}

// As nghttp2 takes them. Valid until the next call on this thread.
std::span<const nghttp2_nv> to_nv(const Headers& headers) {
  thread_local std::vector<nghttp2_nv> nv;
  nv.clear();
  for (const auto& [name, value] : headers) {
    nv.push_back({reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
                  reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
                  static_cast<uint8_t>(is_unique(name) ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE)});
  }
  return nv;
}

}  // namespace

struct Callbacks {
  static Session& session(void* user) { return *static_cast<Session*>(user); }
  static Exchange* exchange(nghttp2_session* h2, int32_t id) {
    return static_cast<Exchange*>(nghttp2_session_get_stream_user_data(h2, id));
  }

  // ---- sending ----

  static ssize_t send(nghttp2_session*, const uint8_t* data, size_t n, int, void* user) {
    Session& s = session(user);
    if (s.batch_.size() + n > kMaxBacklog) return NGHTTP2_ERR_WOULDBLOCK;
    if (s.slots_.filled) return NGHTTP2_ERR_CALLBACK_FAILURE;  // all else was framed before they were offered
    s.batch_.append(data, n);
    return static_cast<ssize_t>(n);
  }

  // No more than is offered: nghttp2 keeps a buffer of the largest frame it was ever told of, although the
  // bytes never go through it, and there are many connections.
  static ssize_t frame_length(nghttp2_session* h2, uint8_t, int32_t id, int32_t connection_window,
                              int32_t stream_window, uint32_t max_frame, void* user) {
    const DataOffer& offer = session(user).offer_;
    int64_t offered = offer.by && offer.by == exchange(h2, id) ? static_cast<int64_t>(offer.left) : 0;
    int64_t n = std::min<int64_t>({connection_window, stream_window, max_frame, kMaxFrame, offered});
    return static_cast<ssize_t>(std::max<int64_t>(n, 1));
  }

  // How much of what poll_write offers goes into the next DATA frame.
  static ssize_t next_data(nghttp2_session* h2, int32_t id, uint8_t*, size_t length, uint32_t* flags,
                           nghttp2_data_source*, void* user) {
    Exchange* e = exchange(h2, id);
    // Its owner finished and went; or the session ended, and then nothing may look complete.
    if (!e && session(user).error_) return NGHTTP2_ERR_DEFERRED;
    if (!e) return last_data(h2, id, session(user).take_trailers(id), flags);
    const DataOffer& offer = session(user).offer_;
    size_t left = offer.by == e ? offer.left : 0;
    const Slots& slots = session(user).slots_;
    size_t n =
        slots.filled ? std::min({left, length, slots.size}) : std::min({left, length, session(user).room()});
    if (n > 0) {
      *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
      return static_cast<ssize_t>(n);
    }
    if (left == 0 && e->finishing_) {
      e->end_framed_ = true;
      return last_data(h2, id, e->our_trailers(), flags);
    }
    if (left == 0) e->writer_.wake();  // the window opened
    return NGHTTP2_ERR_DEFERRED;
  }

  static ssize_t last_data(nghttp2_session* h2, int32_t id, const Headers& trailers, uint32_t* flags) {
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (trailers.empty()) return 0;
    *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    std::span<const nghttp2_nv> nv = to_nv(trailers);
    return nghttp2_submit_trailer(h2, id, nv.data(), nv.size()) == 0 ? 0
                                                                     : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  }

  // One whole DATA frame into the batch: nine bytes of header, then the caller's bytes.
  static int send_data(nghttp2_session* h2, nghttp2_frame* frame, const uint8_t* head, size_t length,
                       nghttp2_data_source*, void* user) {
    Exchange* e = exchange(h2, frame->hd.stream_id);
    Session& s = session(user);
    Buffer& batch = s.batch_;
    DataOffer& offer = s.offer_;
    if (!e || offer.by != e) return NGHTTP2_ERR_CALLBACK_FAILURE;  // next_data offered bytes of nobody
    batch.append(head, 9);
    if (s.slots_.filled) {
      if (length != std::min(offer.left, s.slots_.size)) return NGHTTP2_ERR_CALLBACK_FAILURE;
      batch.grow(length);
      offer.left -= length;
      return 0;
    }
    size_t skip = total(offer.data) - offer.left;
    for (const iovec& piece : offer.data) {
      if (skip >= piece.iov_len) {
        skip -= piece.iov_len;
        continue;
      }
      size_t n = std::min(length, piece.iov_len - skip);
      const auto* from = static_cast<const uint8_t*>(piece.iov_base) + skip;
      batch.append(from, n);
      offer.left -= n;
      length -= n;
      skip = 0;
      if (length == 0) break;
    }
    return 0;
  }

  // ---- receiving ----

  static int refuse(nghttp2_session* h2, int32_t id, uint32_t code) {
    nghttp2_submit_rst_stream(h2, NGHTTP2_FLAG_NONE, id, code);
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  }

  // A header block is decoded to its end, whatever is refused, so its size on the wire bounds the work: a
  // field may cost the sender one byte (the "HTTP/2 bomb"). nghttp2 bounds the number of CONTINUATIONs.
  static int begin_frame(nghttp2_session*, const nghttp2_frame_hd* head, void* user) {
    bool block = head->type == NGHTTP2_HEADERS || head->type == NGHTTP2_CONTINUATION;
    return block && head->length > session(user).limits_.max_header_list ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
  }

  static int begin_headers(nghttp2_session* h2, const nghttp2_frame* frame, void* user) {
    Session& s = session(user);
    if (frame->hd.type != NGHTTP2_HEADERS) return 0;
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
      // A request that was reset counts until its story has ended: else resetting would buy unbounded work.
      if (s.exchanges_ >= 2 * size_t{s.limits_.max_concurrent_streams})
        return refuse(h2, frame->hd.stream_id, NGHTTP2_REFUSED_STREAM);
      std::unique_ptr<Exchange> fresh(new Exchange(s));
      s.attach(*fresh, frame->hd.stream_id);
      nghttp2_session_set_stream_user_data(h2, frame->hd.stream_id, fresh.get());
      s.arriving_.push_back(std::move(fresh));
    } else if (Exchange* e = exchange(h2, frame->hd.stream_id)) {
      e->heads().bytes = 0;
      if (!e->final_head_) e->heads().head.clear();
    }
    return 0;
  }

  static int header(nghttp2_session* h2, const nghttp2_frame* frame, const uint8_t* name, size_t name_size,
                    const uint8_t* value, size_t value_size, uint8_t, void* user) {
    Exchange* e = exchange(h2, frame->hd.stream_id);
    if (!e || frame->hd.type != NGHTTP2_HEADERS) return 0;
    const Limits& limits = session(user).limits_;
    Exchange::Heads& heads = e->heads();
    Headers& into = e->final_head_ ? heads.trailers : heads.head;
    heads.bytes += name_size + value_size + 32;
    if (heads.bytes > limits.max_header_list || into.size() >= limits.max_fields) {
      return refuse(h2, frame->hd.stream_id, NGHTTP2_ENHANCE_YOUR_CALM);
    }
    if (into.empty()) into.reserve(8);
    into.emplace_back(std::string(reinterpret_cast<const char*>(name), name_size),
                      std::string(reinterpret_cast<const char*>(value), value_size));
    return 0;
  }

  static int frame_received(nghttp2_session* h2, const nghttp2_frame* frame, void* user) {
    Session& s = session(user);
    switch (frame->hd.type) {
      case NGHTTP2_HEADERS:
        head_complete(s, h2, *frame);
        break;
      case NGHTTP2_DATA:
        break;
      case NGHTTP2_PING:
        s.on_pong(*frame);
        return 0;
      case NGHTTP2_RST_STREAM:
        ++s.counts_.peer_resets;
        return 0;
      case NGHTTP2_GOAWAY:
        s.going_away_ = true;
        return 0;
      default:
        return 0;
    }
    Exchange* e = exchange(h2, frame->hd.stream_id);
    if (e && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) {
      e->eof_ = true;
      e->reader_.wake();
    }
    return 0;
  }

  static void head_complete(Session& s, nghttp2_session* h2, const nghttp2_frame& frame) {
    Exchange* e = exchange(h2, frame.hd.stream_id);
    if (!e || e->final_head_) return;
    if (s.role_ == Session::Role::server) {
      e->final_head_ = true;
      auto mine = std::ranges::find(s.arriving_, e, &std::unique_ptr<Exchange>::get);
      if (mine == s.arriving_.end()) return;
      s.arrived_.push_back(std::move(*mine));
      s.arriving_.erase(mine);
      return;
    }
    std::optional<std::string_view> status = find(e->head(), ":status");
    e->final_head_ = !status || !status->starts_with('1') || *status == "101";
    e->fresh_head_ = true;
    e->heads().arrived.wake();
  }

  static int data(nghttp2_session* h2, uint8_t, int32_t id, const uint8_t* bytes, size_t n, void* user) {
    if (Exchange* e = exchange(h2, id)) {
      e->received(bytes, n);
    } else {  // nobody reads it: both windows get it back
      nghttp2_session_consume(h2, id, n);
      session(user).mark_dirty();
    }
    return 0;
  }

  static int stream_closed(nghttp2_session* h2, int32_t id, uint32_t code, void* user) {
    Session& s = session(user);
    s.trailers_left_.erase(id);
    Exchange* e = exchange(h2, id);
    if (!e) return 0;
    e->ended_by_peer(code);
    std::erase_if(s.arriving_, [e](const std::unique_ptr<Exchange>& each) { return each.get() == e; });
    return 0;
  }

  static int frame_sent(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    if (frame->hd.type != NGHTTP2_RST_STREAM) return 0;
    uint32_t code = frame->rst_stream.error_code;
    if (code != NGHTTP2_NO_ERROR && code != NGHTTP2_CANCEL) session(user).on_forced_reset();
    return 0;
  }

  // Headers too large to send: whoever waits for them hears of it.
  static int frame_not_sent(nghttp2_session* h2, const nghttp2_frame* frame, int, void*) {
    if (frame->hd.type == NGHTTP2_HEADERS && exchange(h2, frame->hd.stream_id))
      nghttp2_submit_rst_stream(h2, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_INTERNAL_ERROR);
    return 0;
  }
};

const nghttp2_session_callbacks* session_callbacks() {
  static const nghttp2_session_callbacks* callbacks = [] {
    nghttp2_session_callbacks* c = nullptr;
    nghttp2_session_callbacks_new(&c);
    nghttp2_session_callbacks_set_send_callback(c, Callbacks::send);
    nghttp2_session_callbacks_set_send_data_callback(c, Callbacks::send_data);
    nghttp2_session_callbacks_set_data_source_read_length_callback(c, Callbacks::frame_length);
    nghttp2_session_callbacks_set_on_begin_frame_callback(c, Callbacks::begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(c, Callbacks::begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(c, Callbacks::header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(c, Callbacks::frame_received);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, Callbacks::data);
    nghttp2_session_callbacks_set_on_stream_close_callback(c, Callbacks::stream_closed);
    nghttp2_session_callbacks_set_on_frame_send_callback(c, Callbacks::frame_sent);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(c, Callbacks::frame_not_sent);
    return c;
  }();
  return callbacks;
}

int32_t submit_request(nghttp2_session* h2, const Headers& headers, bool end, Exchange& exchange) {
  nghttp2_data_provider body{.source = {}, .read_callback = Callbacks::next_data};
  std::span<const nghttp2_nv> nv = to_nv(headers);
  return nghttp2_submit_request(h2, nullptr, nv.data(), nv.size(), end ? nullptr : &body, &exchange);
}

int submit_response(nghttp2_session* h2, int32_t id, const Headers& headers, bool end) {
  std::span<const nghttp2_nv> nv = to_nv(headers);
  std::optional<std::string_view> status = find(headers, ":status");
  if (status && status->starts_with('1') && *status != "101") {
    return nghttp2_submit_headers(h2, NGHTTP2_FLAG_NONE, id, nullptr, nv.data(), nv.size(), nullptr);
  }
  nghttp2_data_provider body{.source = {}, .read_callback = Callbacks::next_data};
  return nghttp2_submit_response(h2, id, nv.data(), nv.size(), end ? nullptr : &body);
}

}  // namespace ambientd::hbone
