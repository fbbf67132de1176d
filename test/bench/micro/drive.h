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

inline Task<void> send_times(Stream& to, std::string data, uint64_t times) {
  for (uint64_t i = 0; i < times; ++i) {
    for (size_t at = 0; at < data.size();) {
      iovec piece{data.data() + at, data.size() - at};
      Result<size_t> took = co_await to.write({&piece, 1});
      at += must(std::move(took));
    }
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

inline Task<void> send_back(Stream& stream, std::string data, uint64_t times) {
  for (uint64_t i = 0; i < times; ++i) {
    for (size_t left = data.size(); left > 0;) {
      Result<Chunk> chunk = co_await stream.read();
      if (!chunk || chunk->eof) std::abort();
      size_t got = total(chunk->data);
      stream.consume(got);
      left -= got;
    }
    for (size_t at = 0; at < data.size();) {
      iovec piece{data.data() + at, data.size() - at};
      Result<size_t> took = co_await stream.write({&piece, 1});
      at += must(std::move(took));
    }
  }
}

inline Task<void> ask(Stream& stream, std::string data, uint64_t times) {
  for (uint64_t i = 0; i < times; ++i) {
    for (size_t at = 0; at < data.size();) {
      iovec piece{data.data() + at, data.size() - at};
      Result<size_t> took = co_await stream.write({&piece, 1});
      at += must(std::move(took));
    }
    for (size_t left = data.size(); left > 0;) {
      Result<Chunk> chunk = co_await stream.read();
      if (!chunk || chunk->eof) std::abort();
      size_t got = total(chunk->data);
      stream.consume(got);
      left -= got;
    }
  }
}

// `times` questions of `size` bytes, each asked when the one before was answered with as many.
inline Task<void> back_and_forth(Stream& near, Stream& far, size_t size, uint64_t times) {
  Task<void> answering = send_back(far, std::string(size, 'x'), times);
  answering.start();
  co_await ask(near, std::string(size, 'x'), times);
  co_await answering;
}

}  // namespace ambientd::bench
