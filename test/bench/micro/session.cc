// SPDX-License-Identifier: Apache-2.0
#include "hbone/session.h"

#include <fmt/format.h>

#include "hbone/connect.h"
#include "test/bench/micro/drive.h"
#include "test/bench/micro/memory_stream.h"
#include "test/bench/micro/micro.h"

namespace ambientd::bench {
namespace {

using hbone::Exchange;
using hbone::Session;

// A client and a server session; the exchanges that came in are `served`.
struct Both {
  Both() {
    MemoryStream::join(near, far);
    client_run.start();
    server_run.start();
  }
  Task<void> end() {
    client.drain();
    Status first = co_await client_run;
    Status second = co_await server_run;
  }
  void serve(std::unique_ptr<Exchange> exchange) {
    if (!exchange->respond({{":status", "200"}}, false)) std::abort();
    served.push_back(std::move(exchange));
  }

  MemoryStream near, far;
  std::vector<std::unique_ptr<Exchange>> served;
  Session client{Session::Role::client, near, {}};
  Session server{
      Session::Role::server, far, {}, [this](std::unique_ptr<Exchange> e) { serve(std::move(e)); }};
  Task<Status> client_run = client.run(), server_run = server.run();
};

Task<void> open(Both& both, std::unique_ptr<Exchange>& tunnel) {
  tunnel = must(both.client.request(hbone::Connect{"10.0.0.1:80", {}, {}, {}, {}}.headers(), false));
  Status answered = co_await tunnel->headers();
  if (!answered) std::abort();
}

Task<void> open_and_close(Both& both, uint64_t times) {
  for (uint64_t i = 0; i < times; ++i) {
    std::unique_ptr<Exchange> tunnel;
    co_await open(both, tunnel);
    tunnel->finish();
    both.served.back()->finish();
    Result<Chunk> ours = co_await tunnel->read();
    Result<Chunk> theirs = co_await both.served.back()->read();
    if (!ours || !ours->eof || !theirs || !theirs->eof) std::abort();
    both.served.pop_back();
  }
}

}  // namespace

void session(Bench& bench) {
  Loop loop;
  Both both;
  std::unique_ptr<Exchange> tunnel;
  drive(loop, open(both, tunnel));
  for (size_t size : {200, 1 << 10}) {
    bench.measure({.name = fmt::format("session: {} B there and back", size), .most = 0},
                  [&](uint64_t n) { drive(loop, back_and_forth(*tunnel, *both.served[0], size, n)); });
  }
  for (size_t size : {16 << 10, 64 << 10, 256 << 10}) {
    bench.measure({.name = fmt::format("session: a frame of {} KB", size >> 10), .bytes = size},
                  [&](uint64_t n) { drive(loop, one_way(*tunnel, *both.served[0], size, n)); });
  }
  bench.measure({.name = "session: a tunnel opened, answered, ended"},
                [&](uint64_t n) { drive(loop, open_and_close(both, n)); });
  tunnel.reset();
  both.served.clear();
  drive(loop, both.end());
}

}  // namespace ambientd::bench
