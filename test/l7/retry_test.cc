// SPDX-License-Identifier: Apache-2.0
#include "l7/retry.h"

#include "test/support/catch.h"
#include "test/support/http_script.h"
#include "test/support/l7_world.h"
#include "test/support/run.h"

using namespace ambientd;
using namespace ambientd::l7;
using Catch::Contains;
using On = config::RetryPolicy::On;

namespace {

const std::string kReviews = "default/reviews.default.svc.cluster.local";

// `reviews` with endpoints at 10.1.0.10 and 10.1.0.11.
config::Mesh two_endpoints() {
  config::Mesh mesh = test::small_mesh();
  mesh.workloads[3].services[kReviews] = {{80, 8080}};
  return mesh;
}

// Answers one request and waits for the end.
Task<void> answer(std::unique_ptr<TcpStream> stream, std::string* seen, Event* over) {
  std::string rest;
  bool whole = co_await test::read_until(*stream, "\r\n\r\n", *seen);
  CHECK(whole);
  Status sent = co_await test::send_text(*stream, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello");
  CHECK(sent);
  stream->finish();
  co_await test::read_all(*stream, rest);
  over->set();
}

struct Scene {
  explicit Scene(config::Mesh mesh = two_endpoints()) : world(std::move(mesh)) {
    world.connector.serve = [this](std::unique_ptr<TcpStream> stream) {
      return answer(std::move(stream), &seen, &over);
    };
  }
  std::string seen, got;
  Event over{"end of the upstream connection"};
  test::World world;
};

Task<void> ask(Scene& scene) {
  std::unique_ptr<TcpStream> client = scene.world.open("10.96.0.10:80");
  Status sent = co_await test::send_text(
      *client, "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody");
  CHECK(sent);
  co_await test::read_all(*client, scene.got);
  client->close(Errc::closed);
  if (!scene.seen.empty()) co_await scene.over;
  if (scene.world.tunnels > 0) co_await scene.world.idle;
}

}  // namespace

TEST_CASE("what an endpoint has not seen is retried for the words that say so") {
  struct Case {
    uint32_t on;
    Cause cause;
    bool again;
  };
  const Case cases[] = {
      {On::on_connect_failure, Cause::connect_failed, true},
      {On::on_connect_failure, Cause::connect_timed_out, true},
      {On::on_connect_failure, Cause::upstream_refused, false},
      {On::on_refused_stream, Cause::upstream_refused, true},
      {On::on_refused_stream, Cause::connect_failed, false},
      {On::on_5xx, Cause::connect_failed, true},
      {On::on_5xx, Cause::upstream_refused, true},
      {On::on_connect_failure | On::on_5xx, Cause::upstream_closed, false},
      {On::on_5xx, Cause::overflow, false},
      {0, Cause::connect_failed, false},
  };
  for (const Case& c : cases) {
    config::RetryPolicy policy;
    policy.on = c.on;
    CHECK(retries_unsent(policy, c.cause) == c.again);
  }
}

TEST_CASE("an answer is retried for the words that mean it") {
  struct Case {
    uint32_t on;
    int status;
    Fields fields;
    bool again;
  };
  const Case cases[] = {
      {On::on_5xx, 500, {}, true},
      {On::on_5xx, 499, {}, false},
      {On::on_gateway_error, 500, {}, false},
      {On::on_gateway_error, 503, {}, true},
      {On::on_retriable_4xx, 409, {}, true},
      {On::on_statuses, 429, {}, true},
      {On::on_statuses, 503, {}, false},
      {On::on_5xx, 503, {{"x-envoy-overloaded", "true"}}, false},
      {On::on_5xx, 503, {{"x-envoy-ratelimited", "true"}}, false},
      {On::on_ratelimited, 429, {{"x-envoy-ratelimited", "true"}}, true},
      {On::on_unavailable, 200, {{"grpc-status", "14"}}, true},
      {On::on_cancelled, 200, {{"grpc-status", "14"}}, false},
      {On::on_unavailable, 200, {{"grpc-status", "0"}}, false},
      {0, 503, {}, false},
  };
  for (const Case& c : cases) {
    config::RetryPolicy policy;
    policy.on = c.on;
    policy.statuses = {429};
    Response response{.status = c.status, .fields = c.fields, .content_length = {}};
    CHECK(retries_answer(policy, response) == c.again);
  }
}

TEST_CASE("back-off is full jitter under base, three and seven times base, at most max") {
  config::RetryPolicy policy;
  const uint64_t ceilings[] = {25, 75, 175, 250, 250};
  for (uint32_t n = 0; n < std::size(ceilings); ++n) {
    CHECK(backoff_ms(policy, n, ceilings[n] - 1) == ceilings[n] - 1);
    CHECK(backoff_ms(policy, n, ceilings[n]) == 0);
  }
  CHECK(backoff_ms(policy, 4'000'000'000, 249) == 249);
  policy.base_ms = 0;
  CHECK(backoff_ms(policy, 0, 7) == 0);
}

TEST_CASE("a request whose endpoint does not listen goes to the other one, body and all") {
  std::string gone = GENERATE("10.1.0.10:8080", "10.1.0.11:8080");
  for (int i = 0; i < 8; ++i) {  // whichever of the two is tried first
    Loop loop;
    Scene scene;
    scene.world.connector.refused_at = {gone};
    test::run(loop, ask(scene));
    CHECK_THAT(scene.got, Catch::StartsWith("HTTP/1.1 200 OK\r\n"));
    CHECK_THAT(scene.seen, Catch::EndsWith("\r\n\r\nbody") || Catch::EndsWith("\r\n\r\n"));
    CHECK(scene.world.connector.dialled.back().address.str() != gone);
    CHECK(scene.world.connector.dialled.size() <= 2);
    REQUIRE(scene.world.lines.size() == 1);
    CHECK_THAT(scene.world.lines[0], Contains(" 200 - via_upstream "));
  }
}

TEST_CASE("when nobody listens three attempts are made, and the answer says that they were") {
  Loop loop;
  Scene scene;
  scene.world.connector.refused_at = {"10.1.0.10:8080", "10.1.0.11:8080"};
  test::run(loop, ask(scene));
  CHECK(scene.world.connector.dialled.size() == 3);
  CHECK_THAT(scene.got, Catch::StartsWith("HTTP/1.1 503 Service Unavailable\r\n"));
  CHECK_THAT(scene.got,
             Contains("before headers. retried and the latest reset reason: remote connection failure"));
  REQUIRE(scene.world.lines.size() == 1);
  CHECK_THAT(scene.world.lines[0], Contains(" 503 UF,URX "));
}

TEST_CASE("a route that wants no retries gets none") {
  config::Mesh mesh = two_endpoints();
  config::RouteRule rule;
  rule.backends = {{.service = kReviews, .port = 80}};
  rule.retry.retries = 0;
  mesh.routes[kReviews][80] = {true, {rule}};
  Loop loop;
  Scene scene(std::move(mesh));
  scene.world.connector.refuse = Error{Errc::connect_refused, "connect: Connection refused"};
  test::run(loop, ask(scene));
  CHECK(scene.world.connector.dialled.size() == 1);
  CHECK_THAT(scene.got, Contains("before headers. reset reason: remote connection failure"));
  REQUIRE(scene.world.lines.size() == 1);
  CHECK_THAT(scene.world.lines[0], Contains(" 503 UF "));
}
