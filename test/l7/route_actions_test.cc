// SPDX-License-Identifier: Apache-2.0
// What the rule that takes a request does with it, through a whole tunnel.
#include <fmt/format.h>

#include "config/route.h"
#include "test/support/catch.h"
#include "test/support/http_script.h"
#include "test/support/l7_world.h"
#include "test/support/run.h"

using namespace ambientd;
using Catch::Contains;
using Catch::EndsWith;
using Catch::StartsWith;
using On = config::RetryPolicy::On;

namespace {

const std::string kReviews = "default/reviews.default.svc.cluster.local";
const std::string kOk = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello";

// An upstream that gives each connection the next answer, the last one again and again. An empty one:
// silence.
struct Scene {
  explicit Scene(const config::RouteRule& rule, std::vector<std::string> replies = {kOk})
      : answers(std::move(replies)), world(routed(rule)) {
    world.connector.serve = [this](std::unique_ptr<TcpStream> stream) { return answer(std::move(stream)); };
  }

  static config::Mesh routed(const config::RouteRule& rule) {
    config::Mesh mesh = test::small_mesh();
    mesh.workloads[3].services[kReviews] = {{80, 8080}};
    mesh.routes[kReviews][80] = {true, {rule}};
    return mesh;
  }

  Task<void> answer(std::unique_ptr<TcpStream> stream) {
    ++open;
    over.reset();
    std::string head, rest;
    bool whole = co_await test::read_until(*stream, "\r\n\r\n", head);
    if (whole) {
      const std::string& text = answers[std::min(asked.size(), answers.size() - 1)];
      asked.push_back(head);
      Status sent = co_await test::send_text(*stream, text);
      if (sent && !text.empty()) stream->finish();
    }
    co_await test::read_all(*stream, rest);
    if (--open == 0) over.set();
  }

  std::vector<std::string> answers, asked;
  size_t open = 0;
  Event over{"end of all upstream connections"};
  std::string got;
  test::World world;
};

Task<void> ask(Scene& scene, std::string head) {
  std::unique_ptr<TcpStream> client = scene.world.open("10.96.0.10:80");
  Status sent = co_await test::send_text(*client, head + "Connection: close\r\n\r\n");
  CHECK(sent);
  co_await test::read_all(*client, scene.got);
  client->close(Errc::closed);
  if (scene.open > 0) co_await scene.over;
  if (scene.world.tunnels > 0) co_await scene.world.idle;
}

const std::string kGet = "GET /a/x?y HTTP/1.1\r\nHost: shop\r\n";

config::RouteRule to_reviews() {
  config::RouteRule rule;
  rule.name = "r";
  rule.match.path.value = "/a";
  rule.backends = {{.service = kReviews, .port = 80}};
  return rule;
}

void run(Scene& scene, std::string head = kGet) {
  Loop& loop = Loop::current();
  test::run(loop, ask(scene, std::move(head)));
  REQUIRE(scene.world.lines.size() == 1);
}

}  // namespace

TEST_CASE("a redirect is answered without an upstream") {
  Loop loop;
  config::RouteRule rule;
  rule.name = "r";
  rule.redirect = config::Redirect{.scheme = "https", .authority = "new.example", .path = {}};
  rule.redirect->status = 301;
  rule.response_headers.set = {{"x-by", "route"}};
  Scene scene(rule);
  run(scene);
  CHECK_THAT(scene.got, StartsWith("HTTP/1.1 301 Moved Permanently\r\n"));
  CHECK_THAT(scene.got, Contains("location: https://new.example/a/x?y\r\n"));
  CHECK_THAT(scene.got, Contains("x-by: route\r\n"));
  CHECK_THAT(scene.got, Contains("content-length: 0\r\n"));
  CHECK(scene.world.connector.dialled.empty());
  CHECK_THAT(scene.world.lines[0], Contains(" 301 - direct_response "));
  CHECK_THAT(scene.world.lines[0], EndsWith(" r\n"));
}

TEST_CASE("a direct response is the route's own text") {
  Loop loop;
  config::RouteRule rule;
  rule.direct = config::DirectResponse{503, "closed for today"};
  Scene scene(rule);
  run(scene);
  CHECK_THAT(scene.got, StartsWith("HTTP/1.1 503 Service Unavailable\r\n"));
  CHECK_THAT(scene.got, EndsWith("\r\n\r\nclosed for today"));
  CHECK_THAT(scene.world.lines[0], Contains(" 503 - direct_response "));
}

TEST_CASE("a direct response of 204 has neither a body nor a length") {
  Loop loop;
  config::RouteRule rule;
  rule.direct = config::DirectResponse{204, "not to be seen"};
  Scene scene(rule);
  run(scene);
  CHECK_THAT(scene.got, StartsWith("HTTP/1.1 204 No Content\r\n"));
  CHECK_THAT(scene.got, !Contains("content-length") && EndsWith("\r\n\r\n"));
}

TEST_CASE("a rewritten path goes to the upstream, the one that was asked for to the log") {
  Loop loop;
  config::RouteRule rule = to_reviews();
  rule.rewrite.path = config::PathChange{config::PathChange::Kind::prefix, "/b", {}};
  rule.rewrite.authority = "inner";
  Scene scene(rule);
  run(scene);
  CHECK_THAT(scene.got, StartsWith("HTTP/1.1 200 OK\r\n"));
  REQUIRE(scene.asked.size() == 1);
  CHECK_THAT(scene.asked[0], StartsWith("GET /b/x?y HTTP/1.1\r\nhost: inner\r\n"));
  CHECK_THAT(scene.asked[0], Contains("x-envoy-original-path: /a/x?y\r\n"));
  CHECK_THAT(scene.world.lines[0], Contains("\"GET /a/x?y HTTP/1.1\" 200 - via_upstream"));
}

TEST_CASE("an origin that is allowed is named in every response, an error of ours too") {
  Loop loop;
  config::RouteRule rule = to_reviews();
  rule.retry.retries = 0;
  rule.cors = config::Cors{};
  rule.cors->allow_origins = {{.value = "https://shop", .regex = {}}};
  bool reachable = GENERATE(true, false);
  Scene scene(rule);
  if (!reachable) scene.world.connector.refuse = Error{Errc::connect_refused, "connect: Connection refused"};
  run(scene, kGet + "Origin: https://shop\r\n");
  CHECK_THAT(scene.got, StartsWith(reachable ? "HTTP/1.1 200 OK" : "HTTP/1.1 503 "));
  CHECK_THAT(scene.got, Contains("access-control-allow-origin: https://shop\r\n"));
}

TEST_CASE("a preflight ends at the waypoint") {
  Loop loop;
  config::RouteRule rule = to_reviews();
  rule.cors = config::Cors{};
  rule.cors->allow_origins = {{.value = "https://shop", .regex = {}}};
  rule.cors->allow_methods = {"PUT"};
  Scene scene(rule);
  run(scene,
      "OPTIONS /a HTTP/1.1\r\nHost: x\r\nOrigin: https://shop\r\nAccess-Control-Request-Method: PUT\r\n");
  CHECK_THAT(scene.got, StartsWith("HTTP/1.1 200 OK\r\n"));
  CHECK_THAT(scene.got, Contains("access-control-allow-methods: PUT\r\n"));
  CHECK(scene.world.connector.dialled.empty());
  CHECK_THAT(scene.world.lines[0], Contains(" 200 - cors_response "));
}

TEST_CASE("a fault delays and then aborts, and the log tells both") {
  Loop loop;
  config::RouteRule rule = to_reviews();
  rule.fault = {.delay_ms = 2,
                .delay_per_million = config::kMillion,
                .abort_status = 418,
                .abort_grpc = {},
                .abort_per_million = config::kMillion};
  Scene scene(rule);
  uint64_t before = loop.now_ms();
  run(scene);
  CHECK(loop.now_ms() >= before + 2);
  CHECK_THAT(scene.got, StartsWith("HTTP/1.1 418 "));
  CHECK_THAT(scene.got, EndsWith("\r\n\r\nfault filter abort"));
  CHECK(scene.world.connector.dialled.empty());
  CHECK_THAT(scene.world.lines[0], Contains(" 418 DI,FI fault_filter_abort "));
}

TEST_CASE("a request that was only delayed says so in its line") {
  Loop loop;
  config::RouteRule rule = to_reviews();
  rule.fault.delay_ms = 1;
  rule.fault.delay_per_million = config::kMillion;
  Scene scene(rule);
  run(scene);
  CHECK_THAT(scene.world.lines[0], Contains(" 200 DI via_upstream "));
}

TEST_CASE("an answer the route does not take goes unseen, and another endpoint is asked") {
  Loop loop;
  config::RouteRule rule = to_reviews();
  rule.retry.statuses = {503};
  Scene scene(rule, {"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 3\r\n\r\nbad", kOk});
  run(scene);
  CHECK_THAT(scene.got, StartsWith("HTTP/1.1 200 OK\r\n"));
  CHECK_THAT(scene.got, Contains("\r\nhello\r\n"));
  REQUIRE(scene.world.connector.dialled.size() == 2);
  CHECK(scene.world.connector.dialled[0].address != scene.world.connector.dialled[1].address);
}

TEST_CASE("the last answer counts, whatever it is, and others than the route names are never asked again") {
  Loop loop;
  config::RouteRule rule = to_reviews();
  rule.retry.statuses = {503};
  int status = GENERATE(503, 500);
  Scene scene(rule, {fmt::format("HTTP/1.1 {} X\r\nconnection: close\r\n\r\nbad", status)});
  run(scene);
  CHECK_THAT(scene.got, StartsWith(fmt::format("HTTP/1.1 {} ", status)));
  CHECK(scene.asked.size() == (status == 503 ? 3 : 1));
}

TEST_CASE("an attempt that takes too long is given up for another one") {
  Loop loop;
  config::RouteRule rule = to_reviews();
  rule.retry.on |= On::on_5xx;
  rule.retry.per_try_ms = 20;
  rule.retry.base_ms = 0;
  bool recovers = GENERATE(true, false);
  Scene scene(rule, recovers ? std::vector<std::string>{"", kOk} : std::vector<std::string>{""});
  run(scene);
  CHECK(scene.asked.size() == (recovers ? 2 : 3));
  CHECK_THAT(scene.got, StartsWith(recovers ? "HTTP/1.1 200 OK\r\n" : "HTTP/1.1 504 Gateway Timeout\r\n"));
  CHECK_THAT(scene.world.lines[0],
             Contains(recovers ? " 200 - via_upstream " : " 504 UT upstream_per_try_timeout "));
}
