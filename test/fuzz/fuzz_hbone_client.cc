// SPDX-License-Identifier: Apache-2.0
// A session that asks, and a server that answers anything: it ends, every exchange with it, and no byte stays
// on the books. The first three bytes say how the answer arrives and what was asked.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "core/loop.h"
#include "core/relay.h"
#include "hbone/session.h"
#include "test/support/frames.h"
#include "test/support/replay.h"
#include "test/support/stream_pair.h"

namespace {

using namespace ambientd;
using hbone::Exchange;
using hbone::Session;

Task<void> send(Exchange& exchange) {
  Status sent = co_await test::send_text(exchange, std::string(100'000, 's'));
  exchange.finish_with({{"x-sum", "1"}});
}

Task<void> ask(Session& client, int how) {
  hbone::Headers connect{{":method", "CONNECT"}, {":authority", "10.0.0.1:80"}};
  hbone::Headers get{{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a"}};
  bool body = how % 2;
  Result<std::unique_ptr<Exchange>> exchange = client.request(body ? connect : get, !body);
  if (!exchange) co_return;
  Task<void> sending = send(**exchange);
  if (body) sending.start();
  Status answered = co_await (*exchange)->headers();
  std::string got;
  if (answered && how % 3) co_await test::read_all(**exchange, got);
  (*exchange)->close(Errc::closed);
  if (body) co_await sending;
}

Task<void> session(std::span<const uint8_t> input, Loop& loop) {
  if (input.size() > 3) {
    int how = input[0];
    hbone::Limits limits;
    std::string bytes = how & 0x40 ? "" : test::h2::frame(test::h2::SETTINGS, 0, 0);
    bytes.append(reinterpret_cast<const char*>(input.data()) + 3, input.size() - 3);
    test::Replay server({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()},
                        1 + input[1] * size_t{16}, 512 + input[2] * size_t{64});
    Session client(Session::Role::client, server, limits);
    for (int i = 0; i < 4; ++i) loop.spawn("ask", ask(client, how + i));
    Task<Status> running = client.run();
    co_await loop.yield();
    if (how & 0x20) client.drain();
    Status ended = co_await running;
  }
  loop.stop();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Loop loop;
  loop.spawn("session", session({data, size}, loop));
  loop.run();
  if (loop.queued().used != 0 || loop.roots().size() > 0) std::abort();
  return 0;
}
