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

// Two pumps at once. The error of the first, else of the second.
Task<Status> both_ways(Task<Status> up, Task<Status> down);

// What a pump's step says is to come. `ended`: `status` says how.
enum class Next { again, wait_read, wait_write, ended };

// The end of a step, and of both streams, by an error.
Next give_up(Stream& from, Stream& to, Error error, Status& status);

// Steps until it has ended. A step is a plain function that is not inlined, or its locals would live in the
// frame of every pump that waits; it reads and writes once, and counts in `bytes` what the sink took.
template <class From, class To>
Task<Status> pump_by(Next (*step)(From&, To&, uint64_t& bytes, Status& status), From& from, To& to,
                     uint64_t& bytes) {
  Status status;
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
        co_return status;
    }
  }
}

// Writes all of `data`; the bytes must stay where they are until it returns.
Task<Status> write_all(Stream& to, std::span<const uint8_t> data);

}  // namespace ambientd
