// SPDX-License-Identifier: Apache-2.0
// An Exchange is one HTTP/2 stream seen as a Stream of bytes with headers around it: an HBONE tunnel after
// its CONNECT, or a request with its response. Whoever holds it owns the HTTP/2 stream: destroying it early
// resets the stream (CANCEL). It may outlive its Session's connection, never the Session itself, which waits
// for it.
//
// There is one for each of very many idle tunnels, so what only a phase of its life needs (headers, bytes
// that wait, an error) is allocated for that phase.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "core/list.h"
#include "core/stash.h"
#include "core/stream.h"
#include "hbone/headers.h"

namespace ambientd::hbone {

class Session;

// Bytes that arrived and were not consumed. They go round between the exchanges of a thread.
struct Unread {
  Stash kept;                // DATA that had to be saved; first in order
  std::vector<iovec> fresh;  // DATA still in the loop's buffer
  iovec lent{};              // `kept`, as read() lends it

  static std::unique_ptr<Unread> take();
  static void give_back(std::unique_ptr<Unread> empty);
};

class Exchange final : public Stream, public Listed<Exchange> {
 public:
  ~Exchange() override;

  // The peer's headers: the request (we serve) at once, the response (we asked) after headers_arrived().
  const Headers& head() const { return heads_ ? heads_->head : kNone; }
  void forget_head() { heads_.reset(); }  // nobody asks for it any more, nor waits for one
  const Headers& trailers() const { return heads_ ? heads_->trailers : kNone; }  // after eof

  // co_await headers() → Status: the response's headers are there; 1xx responses are in head() one by one
  // (ask again). Errors: reset, refused_stream, http2, or what the exchange was closed with.
  class HeadersAwaiter {
   public:
    explicit HeadersAwaiter(Exchange& exchange) : exchange_(exchange) {}
    bool await_ready() const { return exchange_.fresh_head_ || exchange_.error_; }
    void await_suspend(std::coroutine_handle<> handle) { exchange_.heads().arrived.arm(handle); }
    Status await_resume();

   private:
    Exchange& exchange_;
  };
  [[nodiscard]] HeadersAwaiter headers() { return HeadersAwaiter(*this); }

  // Answers a request. With `end` there is no body. May be called for 1xx first, then once for the answer.
  Status respond(const Headers& headers, bool end);
  // Ends our direction with trailers instead of finish().
  void finish_with(Headers trailers);

  // Writing without a copy: where the next bytes to send may be put, in order, at most `most` of them. Empty
  // while there is no window or no room (then writer_ is woken). Valid until the next call on the session.
  std::span<const iovec> room(size_t most);
  Status fill(size_t n);    // the first n bytes of it were put there: sends them
  Status sendable() const;  // why not, when nothing can ever be written again
  bool may_send();          // room() is worth calling; false: until_written()

  void consume(size_t n) override;
  void finish() override;
  void close(Errc why) override;  // RST_STREAM with the code that fits `why`

  Session& session() { return session_; }
  const Session& session() const { return session_; }
  int32_t id() const { return id_; }
  bool finishing() const { return finishing_; }  // we have ended our direction
  // The peer sent END_STREAM with its headers: there is no body to come.
  bool ended() const { return eof_ && queued_ == 0; }

 private:
  friend class Session;
  friend struct Callbacks;
  explicit Exchange(Session& session);

  struct Heads {
    Waiter arrived{"response headers"};
    Headers head, trailers, our_trailers;
    size_t bytes = 0;  // of the block that is arriving
  };
  static inline const Headers kNone;
  Heads& heads() {
    if (!heads_) heads_ = std::make_unique<Heads>();
    return *heads_;
  }
  const Headers& our_trailers() const { return heads_ ? heads_->our_trailers : kNone; }

  bool poll_read(Result<Chunk>& out) override;
  bool poll_write(std::span<const iovec> data, Result<size_t>& out) override;

  void received(const uint8_t* data, size_t n);  // DATA arrived, in the transport's loop buffer
  void drop_front(size_t n);
  void forget_queued();
  void stash();                       // that buffer is about to be reused
  void ended_by_peer(uint32_t code);  // the HTTP/2 stream is closed
  void fail_with(Error error);
  void grow_window(size_t drained);
  size_t send_window() const;  // bytes
  void let_go();               // nghttp2 has let go of it
  uint32_t reset_code() const;

  Session& session_;
  std::unique_ptr<Heads> heads_;
  std::unique_ptr<Unread> unread_;  // null: nothing is
  std::unique_ptr<const Error> error_;
  uint64_t stalled_since_ms_ = 0;  // when queued_ last left zero or last shrank
  uint32_t queued_ = 0;            // bytes received and not consumed: at most a window
  uint32_t window_ = 0;            // the stream's receive window
  uint32_t drained_ = 0;           // bytes consumed since the window last grew
  int32_t id_ = -1;
  bool open_ = false;        // nghttp2 knows the stream and us
  bool fresh_head_ = false;  // headers arrived that nobody has awaited
  bool eof_ = false;         // END_STREAM seen
  bool final_head_ = false;  // what comes next are trailers
  bool finishing_ = false;   // END_STREAM or trailers asked for
  bool end_framed_ = false;  // and framed
};

}  // namespace ambientd::hbone
