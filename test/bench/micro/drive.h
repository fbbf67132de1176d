// SPDX-License-Identifier: Apache-2.0
// Runs stories on a loop that lives on after them, and bytes through Streams without a coroutine frame a
// call.
#pragma once

#include <cstdlib>
#include <string>

#include "core/loop.h"
#include "core/stream.h"
#include "core/task.h"

namespace ambientd::bench {

inline Task<void> then_return(Task<void> story, Loop& loop) {
  co_await story;
  loop.stop();
}

// Returns when `story` has ended; the loop and what else lives on it go on at the next call.
inline void drive(Loop& loop, Task<void> story) {
  loop.spawn("bench", then_return(std::move(story), loop));
  loop.run();
}

// A benchmark whose set-up fails has nothing to say.
template <class T>
T must(Result<T> result) {
  if (!result) std::abort();
  return std::move(*result);
}

// Coroutines are what is measured, so the loops over `times` are in the coroutines: one frame for all of
// them.
inline Task<void> send_times(Stream& to, std::string data, uint64_t times) {
  for (uint64_t left = times * data.size(); left > 0;) {
    size_t at = data.size() - (left - 1) % data.size() - 1;  // in the piece that is being sent
    iovec piece{data.data() + at, data.size() - at};
    Result<size_t> took = co_await to.write({&piece, 1});
    left -= must(std::move(took));
  }
}

inline Task<void> take_bytes(Stream& from, uint64_t n) {
  while (n > 0) {
    Result<Chunk> chunk = co_await from.read();
    if (!chunk || chunk->eof) std::abort();
    size_t got = total(chunk->data);
    from.consume(got);
    n -= got;
  }
}

// `times` pieces of `size` bytes one way.
inline Task<void> one_way(Stream& from, Stream& to, size_t size, uint64_t times) {
  Task<void> sending = send_times(from, std::string(size, 'x'), times);
  sending.start();
  co_await take_bytes(to, size * times);
  co_await sending;
}

// Takes turns at `stream`: a piece out, as many bytes in. Who answers begins with the second.
inline Task<void> take_turns(Stream& stream, std::string data, uint64_t times, bool asks) {
  uint64_t out = times * data.size(), in = out;
  for (bool sending = asks; out > 0 || in > 0; sending = !sending) {
    for (size_t left = data.size(); sending && left > 0;) {
      iovec piece{data.data(), left};
      Result<size_t> took = co_await stream.write({&piece, 1});
      size_t n = must(std::move(took));
      left -= n;
      out -= n;
    }
    for (size_t left = data.size(); !sending && left > 0;) {
      Result<Chunk> chunk = co_await stream.read();
      if (!chunk || chunk->eof) std::abort();
      size_t got = total(chunk->data);
      stream.consume(got);
      left -= got;
      in -= got;
    }
  }
}

// `times` questions of `size` bytes, each asked when the one before was answered with as many.
inline Task<void> back_and_forth(Stream& near, Stream& far, size_t size, uint64_t times) {
  Task<void> answering = take_turns(far, std::string(size, 'x'), times, false);
  answering.start();
  co_await take_turns(near, std::string(size, 'x'), times, true);
  co_await answering;
}

}  // namespace ambientd::bench
