// SPDX-License-Identifier: Apache-2.0
#include "hbone/session.h"

#include <list>

#include "core/tcp_stream.h"
#include "hbone/connect.h"
#include "test/support/catch.h"
#include "test/support/run.h"
#include "test/support/stream_pair.h"

using namespace ambientd;
using namespace ambientd::hbone;
using namespace ambientd::test;

namespace {

// A client and a server session over a socket pair; `serve` gets each request.
struct Both {
  explicit Both(Session::OnRequest serve, Limits server_limits = {}, Limits client_limits = {})
      : client(Session::Role::client, *pair.near, client_limits),
        server(Session::Role::server, *pair.far, server_limits, std::move(serve)),
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
  StreamPair pair;
  Session client, server;
  Task<Status> client_run, server_run;
};

Headers connect_to(std::string authority) { return Connect{std::move(authority), {}, {}, {}, {}}.headers(); }

Task<void> echo(std::unique_ptr<Exchange> exchange) {
  Status answered = exchange->respond({{":status", "200"}}, false);
  CHECK(answered);
  uint64_t bytes = 0;
  Status pumped = co_await pump(*exchange, *exchange, bytes);
}

void serve_echo(std::unique_ptr<Exchange> exchange) {
  Loop::current().spawn("echo", echo(std::move(exchange)));
}

Task<void> one_echo(Session& client, std::string text, std::string& got) {
  Result<std::unique_ptr<Exchange>> tunnel = client.request(connect_to("10.0.0.1:80"), false);
  REQUIRE(tunnel);
  Status answered = co_await (*tunnel)->headers();
  REQUIRE(answered);
  CHECK(status_of((*tunnel)->head()) == 200);
  Task<void> sending = send_and_finish(**tunnel, std::move(text));
  sending.start();
  co_await read_all(**tunnel, got);
  co_await sending;
}

Task<void> megabytes() {
  Both both(serve_echo);
  std::string text = pattern(24 << 20, 1), got;
  co_await one_echo(both.client, text, got);
  CHECK((got == text));
  co_await both.end();
}

Task<void> many_at_once() {
  Both both(serve_echo);
  std::list<std::string> got;
  std::list<Task<void>> echoes;
  for (uint32_t i = 0; i < 150; ++i) {
    got.emplace_back();
    echoes.push_back(one_echo(both.client, pattern(20000 + 777 * i, i), got.back()));
    echoes.back().start();
  }
  uint32_t i = 0;
  auto text = got.begin();
  for (Task<void>& each : echoes) {
    co_await each;
    CHECK((*text == pattern(20000 + 777 * i, i)));
    ++text;
    ++i;
  }
  CHECK(both.client.exchanges() == 0);
  co_await both.end();
}

// The server accepts and reads nothing from streams whose authority is port 1.
Task<void> stall(std::unique_ptr<Exchange> exchange, Event& release) {
  Status answered = exchange->respond({{":status", "200"}}, false);
  CHECK(answered);
  co_await release;
  exchange->close(Errc::closed);
}

Task<void> neighbour_of_a_stalled_stream() {
  Event release("release");
  Both both([&release](std::unique_ptr<Exchange> exchange) {
    bool stalls = find(exchange->head(), ":authority") == "10.0.0.1:1";
    Loop::current().spawn("serve", stalls ? stall(std::move(exchange), release) : echo(std::move(exchange)));
  });
  Result<std::unique_ptr<Exchange>> stalled = both.client.request(connect_to("10.0.0.1:1"), false);
  REQUIRE(stalled);
  Task<void> sending = send_and_finish(**stalled, pattern(8 << 20, 3));
  sending.start();
  std::string text = pattern(12 << 20, 4), got;
  co_await one_echo(both.client, text, got);
  CHECK((got == text));
  CHECK_FALSE(sending.finished());
  release.set();
  co_await sending;
  stalled->reset();
  co_await both.end();
}

// Twenty streams that first drain well, so that their windows grow, and then all stall.
Task<void> drain_then_stall(std::unique_ptr<Exchange> exchange, Event& release) {
  Status answered = exchange->respond({{":status", "200"}}, false);
  CHECK(answered);
  std::string got;
  co_await read_n(*exchange, 8 << 20, got);
  co_await release;
  exchange->close(Errc::closed);
}

Task<void> neighbour_of_many_grown_stalled_streams() {
  Event release("release");
  Both both([&release](std::unique_ptr<Exchange> e) {
    bool stalls = find(e->head(), ":authority") == "10.0.0.1:1";
    Loop::current().spawn("serve", stalls ? drain_then_stall(std::move(e), release) : echo(std::move(e)));
  });
  std::list<std::unique_ptr<Exchange>> tunnels;
  std::list<Task<void>> sending;
  for (int i = 0; i < 20; ++i) {
    Result<std::unique_ptr<Exchange>> tunnel = both.client.request(connect_to("10.0.0.1:1"), false);
    REQUIRE(tunnel);
    tunnels.push_back(std::move(*tunnel));
    sending.push_back(send_and_finish(*tunnels.back(), pattern(16 << 20, 6)));
    sending.back().start();
  }
  // What 20 * 16 MiB leaves behind when nothing moves any more.
  for (size_t before = 1, now = 0; before != now;) {
    before = Loop::current().queued().used;
    co_await Sleep(200);
    now = Loop::current().queued().used;
  }
  CHECK(Loop::current().queued().used < (16 << 20));
  std::string text = pattern(1 << 20, 7), got;
  co_await one_echo(both.client, text, got);
  CHECK((got == text));
  CHECK(both.server.counts().stalled_resets == 0);
  release.set();
  for (Task<void>& each : sending) co_await each;
  tunnels.clear();
  co_await both.end();
}

// Streams that all stall may hold only so much; then the longest-stalled one is reset, the rest live.
Task<void> bounded_queue() {
  Event release("release");
  Limits limits;
  limits.queued_per_connection = limits.connection_window = 1 << 20;
  limits.stall_ms = 50;
  Both both(
      [&release](std::unique_ptr<Exchange> e) {
        Loop::current().spawn("stall", stall(std::move(e), release));
      },
      limits);
  std::list<std::unique_ptr<Exchange>> tunnels;
  std::list<Task<void>> sending;
  for (int i = 0; i < 8; ++i) {
    Result<std::unique_ptr<Exchange>> tunnel = both.client.request(connect_to("10.0.0.1:1"), false);
    REQUIRE(tunnel);
    tunnels.push_back(std::move(*tunnel));
    sending.push_back(send_and_finish(*tunnels.back(), pattern(4 << 20, 5)));
    sending.back().start();
  }
  co_await sending.front();  // the first one has stalled for longest
  CHECK(both.server.counts().stalled_resets >= 1);
  CHECK(Loop::current().queued().used <= (1 << 20));
  CHECK(both.client.usable());
  release.set();
  for (Task<void>& each : sending) co_await each;
  tunnels.clear();
  co_await both.end();
  CHECK(Loop::current().queued().used == 0);
}

Task<void> refuse(std::unique_ptr<Exchange> exchange) {
  Status answered = exchange->respond({{":status", "401"}}, true);
  CHECK(answered);
  co_return;
}

Task<void> refused_with_a_status() {
  Both both([](std::unique_ptr<Exchange> e) { Loop::current().spawn("refuse", refuse(std::move(e))); });
  Result<std::unique_ptr<Exchange>> tunnel = both.client.request(connect_to("10.0.0.1:80"), false);
  REQUIRE(tunnel);
  Status answered = co_await (*tunnel)->headers();
  REQUIRE(answered);
  CHECK(status_of((*tunnel)->head()) == 401);
  tunnel->reset();
  co_await both.end();
}

Task<void> drop(std::unique_ptr<Exchange> exchange) {
  exchange->close(Errc::closed);
  co_return;
}

Task<void> reset_before_the_answer() {
  Both both([](std::unique_ptr<Exchange> e) { Loop::current().spawn("drop", drop(std::move(e))); });
  Result<std::unique_ptr<Exchange>> tunnel = both.client.request(connect_to("10.0.0.1:80"), false);
  REQUIRE(tunnel);
  Status answered = co_await (*tunnel)->headers();
  REQUIRE_FALSE(answered);
  CHECK(answered.error().code == Errc::reset);
  tunnel->reset();
  co_await both.end();
}

Task<void> with_trailers(std::unique_ptr<Exchange> exchange) {
  Status answered = exchange->respond({{":status", "200"}, {"content-type", "application/grpc"}}, false);
  CHECK(answered);
  std::string body;
  co_await read_all(*exchange, body);
  CHECK(body == "question");
  CHECK(find(exchange->trailers(), "x-sum") == "8");
  Status sent = co_await send_text(*exchange, "answer");
  CHECK(sent);
  exchange->finish_with({{"grpc-status", "0"}});
}

Task<void> trailers_both_ways() {
  Both both([](std::unique_ptr<Exchange> e) { Loop::current().spawn("serve", with_trailers(std::move(e))); });
  Result<std::unique_ptr<Exchange>> call = both.client.request(
      {{":method", "POST"}, {":scheme", "http"}, {":path", "/a"}, {":authority", "b"}}, false);
  REQUIRE(call);
  Status sent = co_await send_text(**call, "question");
  CHECK(sent);
  (*call)->finish_with({{"x-sum", "8"}});
  Status answered = co_await (*call)->headers();
  REQUIRE(answered);
  std::string body;
  co_await read_all(**call, body);
  CHECK(body == "answer");
  CHECK(find((*call)->trailers(), "grpc-status") == "0");
  call->reset();
  co_await both.end();
}

Task<void> graceful_drain() {
  Both both(serve_echo);
  Result<std::unique_ptr<Exchange>> tunnel = both.client.request(connect_to("10.0.0.1:80"), false);
  REQUIRE(tunnel);
  Status answered = co_await (*tunnel)->headers();
  REQUIRE(answered);
  both.server.drain();
  // The GOAWAY comes before the echo of what is sent after it.
  Status asked = co_await send_text(**tunnel, "?");
  CHECK(asked);
  std::string echoed;
  co_await read_n(**tunnel, 1, echoed);
  CHECK_FALSE(both.client.usable());
  Result<std::unique_ptr<Exchange>> late = both.client.request(connect_to("10.0.0.1:80"), false);
  REQUIRE_FALSE(late);
  CHECK(late.error().code == Errc::draining);
  std::string got;
  Task<void> sending = send_and_finish(**tunnel, "still here");
  sending.start();
  co_await read_all(**tunnel, got);
  CHECK(got == "still here");
  co_await sending;
  tunnel->reset();
  Status server = co_await both.server_run;
  Status client = co_await both.client_run;
}

Task<void> garbage() {
  StreamPair pair;
  Session server(Session::Role::server, *pair.far, {}, serve_echo);
  Task<Status> run = server.run();
  run.start();
  Status sent = co_await send_text(*pair.near, "GET / HTTP/1.1\r\nHost: nobody\r\n\r\n");
  CHECK(sent);
  Status ended = co_await run;
  REQUIRE_FALSE(ended);
  CHECK(ended.error().code == Errc::http2);
}

Task<void> dead_peer() {
  StreamPair pair;
  Limits limits;
  limits.ping_every_ms = 20;
  limits.ping_timeout_ms = 60;
  Session client(Session::Role::client, *pair.near, limits);
  Status ended = co_await client.run();
  REQUIRE_FALSE(ended);
  CHECK(ended.error().detail == "HBONE ping timeout");
}

Task<void> connection_lost() {
  Both both(serve_echo);
  Result<std::unique_ptr<Exchange>> tunnel = both.client.request(connect_to("10.0.0.1:80"), false);
  REQUIRE(tunnel);
  Status answered = co_await (*tunnel)->headers();
  REQUIRE(answered);
  both.pair.far->close(Errc::reset);
  std::string got;
  std::optional<Error> why;
  co_await read_all(**tunnel, got, &why);
  REQUIRE(why);
  tunnel->reset();
  Status client = co_await both.client_run;
  Status server = co_await both.server_run;
}

}  // namespace

// Each captured connection is one of each in each proxy, so a member more is megabytes more.
TEST_CASE("what an idle tunnel is made of stays small") {
  CHECK(sizeof(Exchange) <= 160);
  CHECK(sizeof(TcpStream) <= 152);
  CHECK(sizeof(Scope) <= 24);
  CHECK(sizeof(Root) <= 72);
}

TEST_CASE("a tunnel echoes megabytes unharmed") {
  Loop loop;
  run(loop, megabytes());
}
TEST_CASE("150 tunnels share one connection") {
  Loop loop;
  run(loop, many_at_once());
}
TEST_CASE("a stalled stream costs its neighbours nothing") {
  Loop loop;
  run(loop, neighbour_of_a_stalled_stream());
}
TEST_CASE("streams that stall after their windows grew leave room for a neighbour") {
  Loop loop;
  run(loop, neighbour_of_many_grown_stalled_streams());
}
TEST_CASE("queued bytes are bounded, and the longest-stalled stream pays") {
  Loop loop;
  run(loop, bounded_queue());
}
TEST_CASE("a refusal reaches the client as its status") {
  Loop loop;
  run(loop, refused_with_a_status());
}
TEST_CASE("a reset before the answer is an error, not an end") {
  Loop loop;
  run(loop, reset_before_the_answer());
}
TEST_CASE("trailers travel both ways") {
  Loop loop;
  run(loop, trailers_both_ways());
}
TEST_CASE("a drained session finishes what it has and takes nothing new") {
  Loop loop;
  run(loop, graceful_drain());
}
TEST_CASE("a peer that speaks no HTTP/2 is given up") {
  Loop loop;
  run(loop, garbage());
}
TEST_CASE("a peer that answers no ping is given up") {
  Loop loop;
  run(loop, dead_peer());
}
TEST_CASE("a lost connection fails its tunnels") {
  Loop loop;
  run(loop, connection_lost());
}
