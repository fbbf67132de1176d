// SPDX-License-Identifier: Apache-2.0
// How exchanges and sessions end: nothing is lost, nothing is left, nothing that was cut looks complete.
#include <list>

#include "hbone/connect.h"
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

struct Both {
  explicit Both(Session::OnRequest serve, Limits server_limits = {}, Limits client_limits = {},
                int send_buffer = 0)
      : sockets(send_buffer),
        near(std::move(sockets.near)),
        far(std::move(sockets.far)),
        client(Session::Role::client, near, client_limits),
        server(Session::Role::server, far, server_limits, std::move(serve)),
        client_run(client.run()),
        server_run(server.run()) {
    client_run.start();
    server_run.start();
  }
  Task<void> end() {
    client.drain();
    Status first = co_await client_run;
    Status second = co_await server_run;
  }
  Loopback sockets;
  TcpStream near, far;
  Session client, server;
  Task<Status> client_run, server_run;
};

Task<void> echo(std::unique_ptr<Exchange> exchange) {
  Status answered = exchange->respond({{":status", "200"}}, false);
  uint64_t bytes = 0;
  Status pumped = co_await pump(*exchange, *exchange, bytes);
}

Task<void> one_echo(Session& client, std::string text) {
  Result<std::unique_ptr<Exchange>> tunnel = client.request(kConnect, false);
  REQUIRE(tunnel);
  std::string got;
  Task<void> sending = send_and_finish(**tunnel, text);
  sending.start();
  co_await read_all(**tunnel, got);
  co_await sending;
  CHECK((got == text));
}

// The session had been without exchanges before; still it waits for the one that its end finds alive.
Task<void> waits_for_the_last_exchange() {
  Both both([](std::unique_ptr<Exchange> e) { Loop::current().spawn("echo", echo(std::move(e))); });
  co_await one_echo(both.client, "first");
  CHECK(both.client.exchanges() == 0);
  Result<std::unique_ptr<Exchange>> second = both.client.request(kConnect, false);
  REQUIRE(second);
  both.client.close(Errc::closed);
  Status server = co_await both.server_run;
  Status answered = co_await (*second)->headers();
  CHECK_FALSE(answered);
  CHECK_FALSE(both.client_run.finished());
  second->reset();
  Status client = co_await both.client_run;
}

Task<void> reset_at_once(std::unique_ptr<Exchange> exchange) {
  exchange->close(Errc::closed);
  co_return;
}

// Bytes that were under way to exchanges that are gone must not be missing from the connection's window.
Task<void> window_of_dropped_bytes() {
  bool cut = true;
  // Small buffers, so that most of what is sent arrives after the reset.
  Both both(
      [&cut](std::unique_ptr<Exchange> e) {
        Loop::current().spawn("serve", cut ? reset_at_once(std::move(e)) : echo(std::move(e)));
      },
      {}, {}, 32 << 10);
  for (int i = 0; i < 240; ++i) {
    cut = i % 24 != 0;  // in between the window is credited for bytes that were read
    if (!cut) co_await one_echo(both.client, pattern(4 << 20, 2));
    if (!cut) continue;
    Result<std::unique_ptr<Exchange>> tunnel = both.client.request(kConnect, false);
    REQUIRE(tunnel);
    Status sent = co_await send_text(**tunnel, pattern(1 << 20, 1));
    CHECK_FALSE(sent);
  }
  cut = false;
  co_await one_echo(both.client, pattern(20 << 20, 2));
  co_await both.end();
}

Task<void> answer_at_length(std::unique_ptr<Exchange> exchange, std::string text) {
  Status answered = exchange->respond({{":status", "200"}}, false);
  co_await send_and_finish(*exchange, std::move(text));
}

// The response fits into the batch, so the server has nothing left to do; the peer is slow to read it.
Task<void> slow_peer_of_a_drain() {
  const std::string text = pattern(400 << 10, 4);
  Limits wide;
  wide.stream_window = 1 << 20;
  Both both(
      [&text](std::unique_ptr<Exchange> e) {
        Loop::current().spawn("answer", answer_at_length(std::move(e), text));
      },
      {}, wide, 16 << 10);
  Result<std::unique_ptr<Exchange>> tunnel = both.client.request(kConnect, true);
  REQUIRE(tunnel);
  Status answered = co_await (*tunnel)->headers();
  both.server.drain();
  std::string got;
  std::optional<Error> why;
  co_await read_all(**tunnel, got, &why);
  CHECK_FALSE(why);
  CHECK((got == text));
  tunnel->reset();
  Status server = co_await both.server_run;
  CHECK(server);
  Status client = co_await both.client_run;
}

Task<void> answer_with_trailers(std::unique_ptr<Exchange> exchange) {
  Status answered = exchange->respond({{":status", "200"}}, false);
  Status sent = co_await send_text(*exchange, "0123456789");
  exchange->finish_with({{"grpc-status", "0"}});
}

// The window is used up to the byte, so the trailers go out only after their exchange is gone.
Task<void> trailers_behind_a_window() {
  Limits narrow;
  narrow.stream_window = 10;
  Both both(
      [](std::unique_ptr<Exchange> e) {
        Loop::current().spawn("answer", answer_with_trailers(std::move(e)));
      },
      {}, narrow);
  Result<std::unique_ptr<Exchange>> call = both.client.request(
      {{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a"}}, true);
  REQUIRE(call);
  Status answered = co_await (*call)->headers();
  std::string body;
  co_await read_n(**call, 9, body);
  CHECK(both.server.exchanges() == 0);
  co_await read_all(**call, body);
  CHECK(body == "0123456789");
  CHECK(find((*call)->trailers(), "grpc-status") == "0");
  call->reset();
  co_await both.end();
}

Task<void> hold(std::unique_ptr<Exchange> exchange, Event& release) {
  Status answered = exchange->respond({{":status", "200"}}, false);
  co_await release;
}

// One connection fills the loop's budget; the other one starves, is not punished, and goes on when there is
// room.
Task<void> starved_by_another() {
  Event release("release");
  Loop::current().queued().limit = 4 << 20;
  Limits wide;
  wide.stream_window = 8 << 20;
  Both greedy(
      [&release](std::unique_ptr<Exchange> e) { Loop::current().spawn("hold", hold(std::move(e), release)); },
      wide);
  Limits quick;
  quick.stall_ms = 30;
  Both other([](std::unique_ptr<Exchange> e) { Loop::current().spawn("echo", echo(std::move(e))); }, quick);
  Result<std::unique_ptr<Exchange>> holder = greedy.client.request(kConnect, false);
  REQUIRE(holder);
  Task<void> holding = send_and_finish(**holder, pattern(5 << 20, 5));
  holding.start();
  Task<void> echoing = one_echo(other.client, pattern(40 << 20, 6));
  echoing.start();
  while (!Loop::current().queued().exhausted) co_await Sleep(20);
  co_await Sleep(200);  // several stall_ms
  CHECK_FALSE(echoing.finished());
  CHECK(other.server.counts().stalled_resets == 0);
  release.set();
  co_await echoing;
  co_await holding;
  holder->reset();
  co_await greedy.end();
  co_await other.end();
  CHECK(Loop::current().queued().used == 0);
}

Task<void> nibble(std::unique_ptr<Exchange> exchange, Event& release, std::optional<Error>& why) {
  Status answered = exchange->respond({{":status", "200"}}, false);
  while (!why && !release.is_set()) {
    Result<Chunk> chunk = co_await exchange->read();
    if (!chunk) why = chunk.error();
    if (chunk && !chunk->data.empty()) exchange->consume(1);
    co_await Sleep(1);
  }
}

// A byte now and then does not make a reader move.
Task<void> nibbling_is_stalling() {
  Event release("release");
  std::optional<Error> why;
  Limits limits;
  limits.queued_per_connection = limits.connection_window = limits.stream_window = 256 << 10;
  limits.stall_ms = 100;
  Both both(
      [&](std::unique_ptr<Exchange> e) {
        Loop::current().spawn("nibble", nibble(std::move(e), release, why));
      },
      limits);
  Result<std::unique_ptr<Exchange>> tunnel = both.client.request(kConnect, false);
  REQUIRE(tunnel);
  Status sent = co_await send_text(**tunnel, pattern(1 << 20, 7));
  CHECK_FALSE(sent);
  CHECK(both.server.counts().stalled_resets == 1);
  tunnel->reset();
  release.set();
  co_await both.end();
  REQUIRE(why);
  CHECK(why->code == Errc::overloaded);
  CHECK(Loop::current().queued().used == 0);
}

// What a peer would need 64 KiB of header for is refused here, and heard of there.
Task<void> huge_headers(std::unique_ptr<Exchange> exchange) {
  Status answered = exchange->respond(
      {{":status", "200"}, {"x-huge", std::string(60000, 'a')}, {"y", std::string(9000, 'b')}}, false);
  Result<Chunk> chunk = co_await exchange->read();
  CHECK_FALSE(chunk);
}

Task<void> headers_too_large_to_send() {
  Both both([](std::unique_ptr<Exchange> e) { Loop::current().spawn("huge", huge_headers(std::move(e))); });
  Result<std::unique_ptr<Exchange>> tunnel = both.client.request(kConnect, false);
  REQUIRE(tunnel);
  Status answered = co_await (*tunnel)->headers();
  REQUIRE_FALSE(answered);
  CHECK(answered.error().code == Errc::reset);
  tunnel->reset();
  co_await both.end();
}

}  // namespace

TEST_CASE("a session waits for its last exchange although it had none in between") {
  Loop loop;
  run(loop, waits_for_the_last_exchange());
}
TEST_CASE("bytes under way to exchanges that are gone are not missing from the window") {
  Loop loop;
  run(loop, window_of_dropped_bytes());
}
TEST_CASE("a drained session ends only after a slow peer has got everything") {
  Loop loop;
  run(loop, slow_peer_of_a_drain());
}
TEST_CASE("trailers that wait for a window outlive their exchange") {
  Loop loop;
  run(loop, trailers_behind_a_window());
}
TEST_CASE("a connection starved by another one goes on when the loop has room again") {
  Loop loop;
  run(loop, starved_by_another());
}
TEST_CASE("a reader that nibbles counts as stalled") {
  Loop loop;
  run(loop, nibbling_is_stalling());
}
TEST_CASE("headers too large to send reset their stream") {
  Loop loop;
  run(loop, headers_too_large_to_send());
}
