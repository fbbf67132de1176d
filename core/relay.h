// SPDX-License-Identifier: Apache-2.0
// relay() joins two streams until both directions have ended, whatever they are made of.
//
// Back-pressure needs no code of its own: a pump reads what its source lends, writes what its sink takes, and
// credits the source with exactly that. A sink that takes nothing suspends the pump; the source then is not
// read, its window closes, its sender stops. Bytes wait in one place only: where they were when the sink
// stopped. Half-close travels the same way: the source's end becomes the sink's finish(), and the other
// direction goes on.
#pragma once

#include <cstdint>

#include "core/result.h"
#include "core/stream.h"
#include "core/task.h"

namespace ambientd {

struct Relayed {
  uint64_t a_to_b = 0, b_to_a = 0;  // bytes taken by the sink
};

// Ends clean when both sources have ended; else with the first error, after closing both. `bytes` may be read
// while it runs; it outlives the await, and so do both streams.
Task<Status> relay(Stream& a, Stream& b, Relayed& bytes);

// One direction of it.
Task<Status> pump(Stream& from, Stream& to, uint64_t& bytes);

// ---- What a relay is made of, for one that knows its streams (hbone/splice.h) ----

// What a pump's step says is to come. `ended`: `status` says how, unless it was told before.
enum class Next { again, wait_read, wait_write, ended };

// A step: it reads and writes once, and counts in `bytes` what the sink took. It is not inlined, or its
// locals would live in the frame of every pump that waits.
Next pump_once(Stream& from, Stream& to, uint64_t& bytes, Status& status);

// The end of a step, and of both streams, by an error. Who was first counts.
Next give_up(Stream& from, Stream& to, Error error, Status& status);

// Steps until it has ended. Idle connections are made of this frame: it holds four references and no more.
template <auto step, class From, class To>
Task<void> pump_by(From& from, To& to, uint64_t& bytes, Status& status) {
  for (;;) {
    switch (step(from, to, bytes, status)) {
      case Next::again:
        break;
      case Next::wait_read:
        co_await from.until_read();
        break;
      case Next::wait_write:
        co_await to.until_written();
        break;
      case Next::ended:
        co_return;
    }
  }
}

// Two pumps of the same two streams as a part of the story that waits for them, without a frame of its own:
//   while (!pumps.ended()) co_await pumps;
class Pumps {
 public:
  template <class A, class B>
  using Way = Task<void> (*)(A& from, B& to, uint64_t& bytes, Status& status);
  template <class A, class B>
  Pumps(Way<A, B> up, Way<B, A> down, A& a, B& b, uint64_t& a_to_b, uint64_t& b_to_a)
      : up_(up(a, b, a_to_b, status_)), down_(down(b, a, b_to_a, status_)) {}
  Pumps(const Pumps&) = delete;

  bool ended() {
    up_.start();
    down_.start();
    return up_.finished() && down_.finished();
  }
  const Status& status() const { return status_; }  // once they have: clean, or the first error

  bool await_ready() { return ended(); }
  void await_suspend(std::coroutine_handle<> story) { (down_.finished() ? up_ : down_).await_suspend(story); }
  void await_resume() const {}

 private:
  Status status_;
  Task<void> up_, down_;
};

// Writes all of `data`; the bytes must stay where they are until it returns.
Task<Status> write_all(Stream& to, std::span<const uint8_t> data);

}  // namespace ambientd
