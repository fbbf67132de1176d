// SPDX-License-Identifier: Apache-2.0
#include "core/relay.h"

namespace ambientd {
namespace {

Status give_up(Stream& a, Stream& b, Error error) {
  a.close(error.code);
  b.close(error.code);
  return fail(std::move(error));
}

}  // namespace

Task<Status> pump(Stream& from, Stream& to, uint64_t& bytes) {
  for (;;) {
    Result<Chunk> chunk = co_await from.read();
    if (!chunk) co_return give_up(from, to, std::move(chunk.error()));
    if (chunk->eof) break;
    if (chunk->data.empty()) continue;
    Result<size_t> taken = co_await to.write(chunk->data);
    if (!taken) co_return give_up(from, to, std::move(taken.error()));
    if (*taken == 0) continue;
    bytes += *taken;
    from.consume(*taken);
  }
  to.finish();
  co_return Status{};
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
