// SPDX-License-Identifier: Apache-2.0
#include "l7/timeout.h"

#include "test/support/catch.h"
#include "test/support/http_script.h"
#include "test/support/l7_world.h"
#include "test/support/run.h"

using namespace ambientd;
using namespace ambientd::l7;
using Catch::Contains;

namespace {

Request grpc_call(std::string timeout) {
  Request request;
  request.method = "POST";
  request.fields = {{"content-type", "application/grpc"}};
  if (!timeout.empty()) request.fields.push_back({"grpc-timeout", std::move(timeout)});
  return request;
}

config::RouteRule rule_with(std::optional<uint64_t> timeout_ms, uint16_t port = 80) {
  config::RouteRule rule;
  rule.name = "slow";
  rule.timeout_ms = timeout_ms;
  rule.backends = {{.service = "default/reviews.default.svc.cluster.local", .port = port}};
  return rule;
}

constexpr uint64_t kSoonMs = 20;

config::Mesh impatient_mesh() {
  config::Mesh mesh = test::small_mesh();
  for (uint16_t port : {80, 81})
    mesh.routes["default/reviews.default.svc.cluster.local"][port] = {true, {rule_with(kSoonMs, port)}};
  return mesh;
}

// Takes a request, says `answer`, and then nothing more until the connection is closed.
Task<void> stall(std::unique_ptr<TcpStream> stream, std::string answer, std::string* seen, Event* over) {
  bool whole = co_await test::read_until(*stream, "\r\n\r\n", *seen);
  CHECK(whole);
  if (!answer.empty()) {
    Status sent = co_await test::send_text(*stream, std::move(answer));
    CHECK(sent);
  }
  std::string rest;
  co_await test::read_all(*stream, rest);
  over->set();
}

struct Stalled {
  explicit Stalled(std::string answer) : world(impatient_mesh()) {
    world.connector.serve = [this, answer](std::unique_ptr<TcpStream> stream) {
      return stall(std::move(stream), answer, &seen, &over);
    };
  }
  std::string seen, got;
  Event over{"end of the upstream connection"};
  test::World world;
};

Task<void> ask(Stalled& stalled) {
  std::unique_ptr<TcpStream> client = stalled.world.open("10.96.0.10:80");
  Status sent = co_await test::send_text(*client, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  CHECK(sent);
  co_await test::read_all(*client, stalled.got);
  client->close(Errc::closed);
  co_await stalled.over;
  if (stalled.world.tunnels > 0) co_await stalled.world.idle;
}

struct Ended final : Closable {
  void close(Errc) override { over.set(); }
  Event over{"end of the scope"};
};

Task<void> wait_for(Scope& scope, RouteTimeout& timeout) {
  Ended ended;
  scope.add(ended);
  timeout.start();
  co_await ended.over;
}

// Over HTTP/2, whose connection is still being dialled when the time is up.
Task<void> ask_unreachable(Stalled& stalled, Event& reachable) {
  std::unique_ptr<TcpStream> client = stalled.world.open("10.96.0.10:81");
  Status sent = co_await test::send_text(*client, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  CHECK(sent);
  co_await test::read_all(*client, stalled.got);
  client->close(Errc::closed);
  reachable.set();
  while (!stalled.world.worker.upstreams.empty()) co_await Loop::current().turn_end();
  if (stalled.world.tunnels > 0) co_await stalled.world.idle;
}

}  // namespace

TEST_CASE("a grpc-timeout is up to eight digits and a unit") {
  struct Case {
    const char* text;
    std::optional<uint64_t> ms;
  };
  const Case cases[] = {
      {"1H", 3'600'000},
      {"2M", 120'000},
      {"3S", 3'000},
      {"4m", 4},
      {"5u", 1},
      {"1n", 1},
      {"1500u", 2},
      {"0m", 0},
      {"", {}},
      {"S", {}},
      {"5", {}},
      {"5s", {}},
      {"-5S", {}},
      {"5 S", {}},
      {"0x5S", {}},
      {"5SS", {}},
      {"5.5S", {}},
      {"123456789m", {}},
      {"99999999H", 359'999'996'400'000},
  };
  for (const Case& c : cases) {
    INFO(c.text);
    CHECK(grpc_timeout_ms(c.text) == c.ms);
  }
}

TEST_CASE("a route's timeout counts, and for gRPC the shorter one of it and what the client asks for") {
  struct Case {
    std::optional<uint64_t> of_route;
    Request request;
    uint64_t ms;
  };
  Request plain = grpc_call("1S");
  plain.fields[0].value = "text/plain";
  const Case cases[] = {
      {{}, plain, 0},
      {500, plain, 500},
      {{}, grpc_call("1S"), 1'000},
      {500, grpc_call("1S"), 500},
      {5'000, grpc_call("1S"), 1'000},
      {5'000, grpc_call(""), 5'000},
      {5'000, grpc_call("nonsense"), 5'000},
      {5'000, grpc_call("0S"), 5'000},
      {0, grpc_call("1S"), 0},
      {{}, grpc_call(""), 0},
  };
  for (const Case& c : cases) {
    config::RouteRule rule = rule_with(c.of_route);
    CHECK(timeout_of(&rule, c.request) == c.ms);
  }
  CHECK(timeout_of(nullptr, grpc_call("2m")) == 2);
  CHECK(timeout_of(nullptr, plain) == 0);
}

TEST_CASE("a timeout ends its scope once, and never when it was stopped, before its start or after") {
  Loop loop;
  Scope running, before, after;
  RouteTimeout first(running, kSoonMs), second(before, 1), third(after, 1);
  second.stop();
  second.start();
  third.start();
  third.stop();
  test::run(loop, wait_for(running, first));
  CHECK(first.expired());
  CHECK(running.why()->code == Errc::timed_out);
  CHECK_FALSE(before.closed());
  CHECK_FALSE(after.closed());
}

TEST_CASE("an upstream that has not answered when the route's time is up gets its client a 504") {
  Loop loop;
  Stalled stalled("");
  test::run(loop, ask(stalled));
  CHECK_THAT(stalled.got, Catch::StartsWith("HTTP/1.1 504 Gateway Timeout\r\n"));
  CHECK_THAT(stalled.got, Catch::EndsWith("\r\n\r\nupstream request timeout"));
  CHECK_THAT(stalled.seen, Contains("x-envoy-expected-rq-timeout-ms: 20\r\n"));
  REQUIRE(stalled.world.lines.size() == 1);
  CHECK_THAT(stalled.world.lines[0], Contains(" 504 UT response_timeout "));
}

TEST_CASE("a response that is not through when the route's time is up is cut, and its line says so") {
  Loop loop;
  Stalled stalled("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello");
  test::run(loop, ask(stalled));
  CHECK_THAT(stalled.got, Catch::StartsWith("HTTP/1.1 200 OK\r\n"));
  CHECK_THAT(stalled.got, Catch::EndsWith("hello"));
  REQUIRE(stalled.world.lines.size() == 1);
  CHECK_THAT(stalled.world.lines[0], Contains(" 200 UT "));
}

TEST_CASE("a request that waits for a shared connection does not wait longer than its time") {
  Loop loop;
  Stalled stalled("");
  Event reachable{"the endpoint answers"};
  stalled.world.connector.until = &reachable;
  stalled.world.connector.refuse = Error{Errc::connect_refused, "connect: Connection refused"};
  test::run(loop, ask_unreachable(stalled, reachable));
  CHECK(stalled.world.connector.dialled.size() == 1);
  CHECK_THAT(stalled.got, Catch::StartsWith("HTTP/1.1 504 Gateway Timeout\r\n"));
  CHECK_THAT(stalled.got, Catch::EndsWith("\r\n\r\nupstream request timeout"));
}
