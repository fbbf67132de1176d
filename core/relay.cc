// SPDX-License-Identifier: Apache-2.0
#include "core/relay.h"

namespace ambientd {

[[gnu::noinline]] Next pump_once(Stream& from, Stream& to, uint64_t& bytes, Status& status) {
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

Next give_up(Stream& from, Stream& to, Error error, Status& status) {
  from.close(error.code);
  to.close(error.code);
  if (status) status = fail(std::move(error));
  return Next::ended;
}

Task<Status> pump(Stream& from, Stream& to, uint64_t& bytes) {
  Status status;
  co_await pump_by<pump_once>(from, to, bytes, status);
  co_return std::move(status);
}

Task<Status> relay(Stream& a, Stream& b, Relayed& bytes) {
  Pumps pumps(pump_by<pump_once, Stream, Stream>, pump_by<pump_once, Stream, Stream>, a, b, bytes.a_to_b,
              bytes.b_to_a);
  while (!pumps.ended()) co_await pumps;
  co_return pumps.status();
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
