// SPDX-License-Identifier: Apache-2.0
#include "hbone/splice.h"

#include "hbone/session.h"
#include "test/support/catch.h"
#include "test/support/loopback.h"
#include "test/support/run.h"
#include "test/support/stream_pair.h"

using namespace ambientd;
using namespace ambientd::hbone;
using namespace ambientd::test;

namespace {

const Headers kConnect = {{":method", "CONNECT"}, {":authority", "10.0.0.1:80"}};

// An application, its splice into a tunnel, and whoever serves the tunnel's other end.
struct Spliced {
  Spliced(const Limits& server_limits, Session::OnRequest serve)
      : near(std::move(wire.near)),
        far(std::move(wire.far)),
        client(Session::Role::client, near, Limits{}),
        server(Session::Role::server, far, server_limits, std::move(serve)),
        client_run(client.run()),
        server_run(server.run()),
        app(std::move(local.near)),
        ours(std::move(local.far)) {
    client_run.start();
    server_run.start();
  }
  Task<Status> carry() {
    Result<std::unique_ptr<Exchange>> opened = client.request(kConnect, false);
    REQUIRE(opened);
    tunnel = std::move(*opened);
    Status answered = co_await tunnel->headers();
    REQUIRE(answered);
    Pumps pumps = splice(ours, *tunnel, sent, received);
    while (!pumps.ended()) co_await pumps;
    co_return pumps.status();
  }
  Task<void> end() {
    tunnel.reset();
    client.drain();
    Status first = co_await client_run;
    Status second = co_await server_run;
  }
  Loopback wire, local;
  TcpStream near, far;
  Session client, server;
  Task<Status> client_run, server_run;
  TcpStream app, ours;
  std::unique_ptr<Exchange> tunnel;
  uint64_t sent = 0, received = 0;
};

Task<void> echo(std::unique_ptr<Exchange> exchange) {
  Status answered = exchange->respond({{":status", "200"}}, false);
  uint64_t bytes = 0;
  Status pumped = co_await pump(*exchange, *exchange, bytes);
}

Task<void> both_ways(uint32_t max_frame) {
  Limits limits;
  limits.max_frame_size = max_frame;
  Spliced spliced(limits,
                  [](std::unique_ptr<Exchange> e) { Loop::current().spawn("echo", echo(std::move(e))); });
  Task<Status> carrying = spliced.carry();
  carrying.start();
  std::string text = pattern(5 << 20, 3), got;
  Task<void> sending = send_and_finish(spliced.app, text);
  sending.start();
  co_await read_all(spliced.app, got);
  co_await sending;
  Status carried = co_await carrying;
  CHECK(carried);
  CHECK((got == text));
  CHECK(spliced.sent == text.size());
  CHECK(spliced.received == text.size());
  co_await spliced.end();
}

// Answers, and reads nothing until it is told to.
Task<void> read_late(std::unique_ptr<Exchange> exchange, Event* enough) {
  Status answered = exchange->respond({{":status", "200"}}, false);
  co_await *enough;
  std::string got;
  co_await read_all(*exchange, got);
  exchange->finish();
}

// Lets the loop look at its sockets once.
Task<void> turn() {
  Event turned{"test"};
  Loop::current().post([&turned] { turned.set(); });
  co_await turned;
}

Task<void> full_window() {
  Limits limits;
  Event enough{"test"};
  Spliced spliced(limits, [&](std::unique_ptr<Exchange> e) {
    Loop::current().spawn("read late", read_late(std::move(e), &enough));
  });
  Task<Status> carrying = spliced.carry();
  carrying.start();
  std::string window = pattern(limits.stream_window, 1);
  Status sent = co_await send_text(spliced.app, window);
  REQUIRE(sent);
  while (spliced.sent < window.size()) co_await turn();
  // Nothing more fits; the application's end needs no window and travels all the same.
  spliced.app.finish();
  while (!spliced.tunnel->finishing()) co_await turn();
  CHECK(spliced.sent == window.size());
  enough.set();
  Status carried = co_await carrying;
  CHECK(carried);
  co_await spliced.end();
}

Task<void> reset_by_peer() {
  Spliced spliced(Limits{}, [](std::unique_ptr<Exchange> e) {
    Status answered = e->respond({{":status", "200"}}, false);
    e->close(Errc::closed);
  });
  Status carried = co_await spliced.carry();
  CHECK_FALSE(carried);
  co_await spliced.end();
}

}  // namespace

TEST_CASE("a splice carries all bytes and both ends, whatever frame size the peer takes") {
  for (uint32_t max_frame : {16384u, 100'000u, 1u << 20}) {
    INFO("frames of " << max_frame);
    Loop loop;
    run(loop, both_ways(max_frame));
  }
}

TEST_CASE("an application's end passes a window that is full") {
  Loop loop;
  run(loop, full_window());
}

TEST_CASE("a tunnel that its peer resets ends the splice") {
  Loop loop;
  run(loop, reset_by_peer());
}
