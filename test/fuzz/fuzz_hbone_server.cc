// SPDX-License-Identifier: Apache-2.0
// A session that serves whatever a client sends: it ends, every exchange with it, and no byte stays on the
// books. The first three bytes say how the rest arrives and what the server does with its requests.
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

Task<void> echo(std::unique_ptr<Exchange> exchange) {
  Status answered = exchange->respond({{":status", "200"}}, false);
  uint64_t bytes = 0;
  Status pumped = co_await pump(*exchange, *exchange, bytes);
}

Task<void> refuse(std::unique_ptr<Exchange> exchange) {
  Status answered = exchange->respond({{":status", "401"}}, true);
  co_return;
}

Task<void> hold(std::unique_ptr<Exchange> exchange) { Status ended = co_await exchange->headers(); }

Task<void> answer(std::unique_ptr<Exchange> exchange) {
  std::string body;
  co_await test::read_all(*exchange, body);
  Status answered = exchange->respond({{":status", "200"}}, false);
  Status sent = co_await test::send_text(*exchange, std::move(body));
  exchange->finish_with({{"grpc-status", "0"}});
}

void serve(std::unique_ptr<Exchange> exchange, int how) {
  switch ((how + exchange->id() / 2) % 5) {
    case 0:
      return Loop::current().spawn("echo", echo(std::move(exchange)));
    case 1:
      return Loop::current().spawn("refuse", refuse(std::move(exchange)));
    case 2:
      return Loop::current().spawn("hold", hold(std::move(exchange)));
    case 3:
      return Loop::current().spawn("answer", answer(std::move(exchange)));
    default:
      exchange->close(Errc::denied);
  }
}

Task<void> session(std::span<const uint8_t> input, Loop& loop) {
  if (input.size() > 3) {
    int how = input[0];
    hbone::Limits limits;
    limits.max_concurrent_streams = 10;
    limits.enable_connect_protocol = how & 0x80;
    std::string bytes =
        how & 0x40 ? "" : std::string(test::h2::kPreface) + test::h2::frame(test::h2::SETTINGS, 0, 0);
    bytes.append(reinterpret_cast<const char*>(input.data()) + 3, input.size() - 3);
    test::Replay client({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()},
                        1 + input[1] * size_t{16}, 512 + input[2] * size_t{64});
    Session server(Session::Role::server, client, limits,
                   [how](std::unique_ptr<Exchange> e) { serve(std::move(e), how); });
    if (how & 0x20) server.drain();
    Status ended = co_await server.run();
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
