// SPDX-License-Identifier: Apache-2.0
// Two connected Streams over a socket pair, and the few verbs tests use on Streams.
#pragma once

#include <sys/socket.h>

#include <memory>
#include <string>

#include "core/relay.h"
#include "core/tcp_stream.h"

namespace ambientd::test {

struct StreamPair {
  StreamPair() {
    int fds[2] = {-1, -1};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0) std::abort();
    near = std::make_unique<TcpStream>(Fd(fds[0]));
    far = std::make_unique<TcpStream>(Fd(fds[1]));
  }
  std::unique_ptr<TcpStream> near, far;
};

// Reads until the end, or until the stream fails: then `why` holds the reason.
inline Task<void> read_all(Stream& from, std::string& into, std::optional<Error>* why = nullptr) {
  for (;;) {
    Result<Chunk> chunk = co_await from.read();
    if (!chunk && why) *why = chunk.error();
    if (!chunk || chunk->eof) co_return;
    for (const iovec& piece : chunk->data) into.append(static_cast<char*>(piece.iov_base), piece.iov_len);
    from.consume(total(chunk->data));
  }
}

// Reads exactly `n` bytes.
inline Task<void> read_n(Stream& from, size_t n, std::string& into) {
  while (n > 0) {
    Result<Chunk> chunk = co_await from.read();
    if (!chunk || chunk->eof) co_return;
    size_t taken = 0;
    for (const iovec& piece : chunk->data) {
      size_t take = std::min(n - taken, piece.iov_len);
      into.append(static_cast<char*>(piece.iov_base), take);
      taken += take;
    }
    from.consume(taken);  // ends the loan
    n -= taken;
  }
}

inline Task<Status> send_text(Stream& to, std::string text) {
  Status sent = co_await write_all(to, {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  co_return sent;
}

inline Task<void> send_and_finish(Stream& to, std::string text) {
  Status sent = co_await send_text(to, std::move(text));
  if (sent) to.finish();
}

// Bytes that show a swap or a hole anywhere.
inline std::string pattern(size_t n, uint32_t seed) {
  std::string out(n, '\0');
  for (char& c : out) {
    seed = seed * 1664525 + 1013904223;
    c = static_cast<char>(seed >> 24);
  }
  return out;
}

}  // namespace ambientd::test
