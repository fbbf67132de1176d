// SPDX-License-Identifier: Apache-2.0
#include "core/relay.h"

namespace ambientd {
namespace {

enum class Next { again, wait_read, wait_write, ended };

Next give_up(Stream& a, Stream& b, Error error, Status& status) {
  a.close(error.code);
  b.close(error.code);
  status = fail(std::move(error));
  return Next::ended;
}

// One read and one write; `status` is set when it ended with an error. Not inlined, or its locals would
// live in the frame of every pump that waits.
[[gnu::noinline]] Next step(Stream& from, Stream& to, uint64_t& bytes, Status& status) {
  Result<Chunk> chunk;
  if (!from.try_read(chunk)) return Next::wait_read;
  if (!chunk) return give_up(from, to, std::move(chunk.error()), status);
  if (chunk->eof) {
    to.finish();
    return Next::ended;
  }
  if (chunk->data.empty()) return Next::again;
  Result<size_t> taken;
  if (!to.try_write(chunk->data, taken)) return Next::wait_write;
  if (!taken) return give_up(from, to, std::move(taken.error()), status);
  bytes += *taken;
  from.consume(*taken);
  return Next::again;
}

}  // namespace

Task<Status> pump(Stream& from, Stream& to, uint64_t& bytes) {
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

Task<Status> relay(Stream& a, Stream& b, Relayed& bytes) {
  Task<Status> up = pump(a, b, bytes.a_to_b);
  up.start();
  Status down = co_await pump(b, a, bytes.b_to_a);
  Status first = co_await up;
  co_return first ? down : first;
}

Task<Status> write_all(Stream& to, std::span<const uint8_t> data) {
  while (!data.empty()) {
    iovec piece{const_cast<uint8_t*>(data.data()), data.size()};
    Result<size_t> taken = co_await to.write({&piece, 1});
    if (!taken) co_return fail(std::move(taken.error()));
    data = data.subspan(*taken);
  }
  co_return Status{};
}

}  // namespace ambientd
