// SPDX-License-Identifier: Apache-2.0
// A Stream is one duplex byte pipe: TCP, TLS and an HBONE tunnel alike, so that a codec or a relay never
// knows what carries it. One reader and one writer may be pending, never two of either.
//
// read() lends bytes until the next await; consume(n) tells how many of them the next hop took, and only that
// credits the sender. What was not consumed is lent again by the next read(). write() takes what fits and
// waits only when nothing does; nothing is queued behind the caller's back, so back-pressure is honest end to
// end.
#pragma once

#include <sys/uio.h>

#include <coroutine>
#include <cstdint>
#include <span>
#include <vector>

#include "core/result.h"
#include "core/scope.h"
#include "core/wait.h"

namespace ambientd {

class Scratch;

// What read() lends. Empty without eof is a spurious wake: read again.
struct Chunk {
  std::span<const iovec> data{};
  bool eof = false;  // the peer finished its direction; there is no data with it
  Scratch* home =
      nullptr;  // the loop buffer the bytes lie in, when they do: a Borrower may keep pointing there
};

size_t total(std::span<const iovec> data);  // bytes

class Stream : public Closable {
 public:
  Stream() : reader_("stream read"), writer_("stream write") {}
  virtual ~Stream() = default;

  class ReadAwaiter {
   public:
    explicit ReadAwaiter(Stream& stream) : stream_(stream) {}
    bool await_ready() { return done_ = stream_.poll_read(out_); }
    void await_suspend(std::coroutine_handle<> handle) { stream_.waits_at_->reader_.arm(handle); }
    Result<Chunk> await_resume() {
      if (!done_ && !stream_.poll_read(out_)) return Chunk{};
      return std::move(out_);
    }

   private:
    Stream& stream_;
    Result<Chunk> out_;
    bool done_ = false;
  };

  class WriteAwaiter {
   public:
    WriteAwaiter(Stream& stream, std::span<const iovec> data) : stream_(stream), data_(data) {}
    bool await_ready() { return done_ = stream_.poll_write(data_, out_); }
    void await_suspend(std::coroutine_handle<> handle) { stream_.waits_at_->writer_.arm(handle); }
    // Once it has waited it takes nothing: the bytes may have moved meanwhile. Read again and write again.
    Result<size_t> await_resume() {
      if (!done_) return size_t{0};
      return std::move(out_);
    }

   private:
    Stream& stream_;
    std::span<const iovec> data_;
    Result<size_t> out_{0};
    bool done_ = false;
  };

  // → Result<Chunk>: bytes, eof, or why there are none: reset, closed, timed_out, tls, http2, …
  [[nodiscard]] ReadAwaiter read() { return ReadAwaiter(*this); }
  virtual void consume(size_t n) = 0;
  // → Result<size_t>: how many bytes were taken, in order; 0 after a wait (see WriteAwaiter). A transport
  // (TCP, TLS, a tunnel) that is given nothing comes back once it holds no bytes of earlier writes.
  [[nodiscard]] WriteAwaiter write(std::span<const iovec> data) { return WriteAwaiter(*this, data); }
  // The two halves of an await, for who polls this stream from a stream of its own (view()) and for a pump,
  // whose steps are plain functions so that its frame stays small. try_…() is true when `out` is set; else
  // whoever asked must wait at once: until_…().
  class Wait {
   public:
    explicit Wait(Waiter& waiter) : waiter_(waiter) {}
    bool await_ready() const { return false; }
    void await_suspend(std::coroutine_handle<> handle) { waiter_.arm(handle); }
    void await_resume() const {}

   private:
    Waiter& waiter_;
  };
  bool try_read(Result<Chunk>& out) { return poll_read(out); }
  bool try_write(std::span<const iovec> data, Result<size_t>& out) { return poll_write(data, out); }
  [[nodiscard]] Wait until_read() { return Wait(waits_at_->reader_); }
  [[nodiscard]] Wait until_written() { return Wait(waits_at_->writer_); }
  // Ends our direction once what was written is out. No write may follow.
  virtual void finish() = 0;
  // Wakes whoever waits here, for nothing: read() comes back empty, write() with 0. For a story that wants
  // one of its phases to look at something else.
  void nudge() {
    waits_at_->reader_.wake();
    waits_at_->writer_.wake();
  }

 protected:
  // True when `out` is set; false when there is nothing yet: then reader_.wake() follows.
  virtual bool poll_read(Result<Chunk>& out) = 0;
  // True when `out` is set; false when nothing fits: then writer_.wake() follows.
  virtual bool poll_write(std::span<const iovec> data, Result<size_t>& out) = 0;

  // For a Stream that is a view of another one (a codec's body in a tunnel): it polls that one and waits
  // where that one does. The other outlives it, and is read and written through the view only.
  void view(Stream& other) { waits_at_ = other.waits_at_; }

  Waiter reader_, writer_;

 private:
  Stream* waits_at_ = this;
};

}  // namespace ambientd
