// SPDX-License-Identifier: Apache-2.0
// What a client gets when no upstream could answer (contract/waypoint.md §3.3), and what the log says of it.
#include "test/support/catch.h"
#include "test/support/http_script.h"
#include "test/support/run.h"

using namespace ambientd;
using Catch::Contains;
using test::Scene;
using test::Step;

namespace {

constexpr auto kHttp = "10.96.0.10:80";
const std::string kGet = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
constexpr std::string_view kReset =
    "upstream connect error or disconnect/reset before headers. reset reason: ";

struct Case {
  std::vector<Step> upstream;
  std::optional<Error> refuse;
  std::string status, body, log;
};

config::Mesh routed_mesh(config::RouteRule rule) {
  config::Mesh mesh = test::small_mesh();
  config::HttpRoutes routes{.routed = true, .rules = {std::move(rule)}};
  mesh.routes["default/reviews.default.svc.cluster.local"][80] = std::move(routes);
  return mesh;
}

void expect(Scene& scene, std::string_view status, std::string_view body, const std::string& log) {
  INFO(scene.client.seen);
  CHECK_THAT(scene.client.seen, Catch::StartsWith("HTTP/1.1 " + std::string(status) + "\r\n"));
  size_t head = scene.client.seen.find("\r\n\r\n");
  REQUIRE(head != std::string::npos);
  CHECK(scene.client.seen.substr(head + 4) == body);
  REQUIRE(scene.lines.size() == 1);
  CHECK_THAT(scene.lines[0], Contains(log));
}

Task<void> ask(Scene& scene, std::string request = kGet) {
  return scene.play(kHttp, {{"", std::move(request)}, {"\r\n\r\n", "."}});
}

}  // namespace

TEST_CASE("an upstream that fails before its response gives 503 with Envoy's words") {
  auto c = GENERATE(Case{{{"\r\n\r\n", "."}},
                         {},
                         "503 Service Unavailable",
                         std::string(kReset) + "connection termination",
                         " 503 UC upstream_reset_before_response_started{connection_termination} "},
                    Case{{},
                         Error{Errc::connect_refused, "connect 10.1.0.10:8080: Connection refused"},
                         "503 Service Unavailable",
                         "upstream connect error or disconnect/reset before headers. retried and the latest "
                         "reset reason: remote connection failure, transport failure reason: connect "
                         "10.1.0.10:8080: Connection refused",
                         " 503 UF,URX upstream_reset_before_response_started{remote_connection_failure|"},
                    Case{{{"\r\n\r\n", "not http\r\n\r\n"}},
                         {},
                         "502 Bad Gateway",
                         std::string(kReset) + "protocol error",
                         " 502 UPE upstream_reset_before_response_started{protocol_error} "});
  Loop loop;
  Scene scene(c.upstream);
  scene.connector.refuse = c.refuse;
  test::run(loop, ask(scene));
  expect(scene, c.status, c.body, c.log);
}

TEST_CASE("a service without a healthy endpoint gives 503 no healthy upstream") {
  config::Mesh mesh = test::small_mesh();
  for (config::Workload& each : mesh.workloads) each.status = config::Health::unhealthy;
  Loop loop;
  Scene scene({}, std::move(mesh));
  test::run(loop, ask(scene));
  expect(scene, "503 Service Unavailable", "no healthy upstream", " 503 UH no_healthy_upstream ");
}

TEST_CASE("a request that no route of the service takes gives an empty 404") {
  config::RouteRule rule;
  rule.match.path = {config::PathMatch::Kind::exact, "/only", {}};
  rule.backends = {{.service = "default/reviews.default.svc.cluster.local", .port = 80}};
  Loop loop;
  Scene scene({}, routed_mesh(rule));
  test::run(loop, ask(scene));
  expect(scene, "404 Not Found", "", " 404 NR route_not_found ");
}

TEST_CASE("a route without a valid backend gives an empty 500") {
  Loop loop;
  Scene scene({}, routed_mesh({}));
  test::run(loop, ask(scene));
  expect(scene, "500 Internal Server Error", "", " 500 NC cluster_not_found ");
}

TEST_CASE(
    "a denied request gives 403 and names the rule in the log, and the body that follows is not read as "
    "one") {
  config::Mesh mesh = test::small_mesh();
  auto deny = std::make_shared<policy::L7Authorization>();
  deny->name = "no-deletes";
  deny->ns = "default";
  deny->action = policy::L7Authorization::Action::deny;
  policy::Operation operation;
  operation.methods.values = {policy::parse_string_match("DELETE")};
  deny->rules = {{.from = {}, .to = {operation}, .when = {}}};
  mesh.service_policies["default/reviews.default.svc.cluster.local"] = {deny};
  Loop loop;
  Scene scene({{"\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n"}}, std::move(mesh));
  test::run(loop,
            scene.play(kHttp, {{"", "DELETE /a HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody" + kGet},
                               {"RBAC: access denied", ""},
                               {"204 No Content\r\n", "."}}));
  REQUIRE(scene.lines.size() == 2);
  CHECK_THAT(scene.lines[0],
             Contains(" 403 - rbac_access_denied_matched_policy[ns[default]-policy[no-deletes]-rule[0]] "));
  CHECK_THAT(scene.lines[1], Contains(" 204 - via_upstream "));
}

TEST_CASE("an endpoint on another network is not dialled as if it were on this one") {
  config::Mesh mesh = test::small_mesh();
  mesh.workloads[2].network = "elsewhere";
  mesh.workloads[2].protocol = config::Tunnel::tcp;
  Loop loop;
  Scene scene({}, std::move(mesh));
  test::run(loop, ask(scene));
  expect(scene, "503 Service Unavailable", "no healthy upstream", " 503 UH no_healthy_upstream ");
  CHECK(scene.connector.dialled.empty());
}

TEST_CASE("a condition on the Host header sees what the client sent") {
  config::Mesh mesh = test::small_mesh();
  auto deny = std::make_shared<policy::L7Authorization>();
  deny->action = policy::L7Authorization::Action::deny;
  policy::Condition host;
  host.key = policy::Condition::Key::request_header;
  host.path = {"host"};
  host.strings.values = {policy::parse_string_match("a")};
  deny->rules = {{.from = {}, .to = {}, .when = {host}}};
  mesh.service_policies["default/reviews.default.svc.cluster.local"] = {deny};
  Loop loop;
  Scene scene({}, std::move(mesh));
  test::run(loop, scene.play(kHttp, {{"", kGet}, {"RBAC: access denied", "."}}));
  CHECK(scene.connector.dialled.empty());
}

TEST_CASE(
    "an upstream that breaks in the middle of its response cuts the client off, and is no complete one") {
  Loop loop;
  Scene scene({{"\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"}, {"", "!"}});
  test::run(loop, ask(scene));
  CHECK_THAT(scene.client.seen, Catch::EndsWith("\r\n\r\nhalf"));
  REQUIRE(scene.lines.size() == 1);
  CHECK_THAT(scene.lines[0],
             Contains(" 200 UC upstream_reset_after_response_started{connection_termination} "));
}

TEST_CASE("a gRPC client gets the status of a call instead of an HTTP error") {
  Loop loop;
  Scene scene({{"\r\n\r\n", "."}});
  test::run(
      loop,
      scene.play(kHttp, {{"", "POST /a.B/C HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\n\r\n"},
                         {"\r\n\r\n", "."}}));
  CHECK_THAT(scene.client.seen, Catch::StartsWith("HTTP/1.1 200 OK\r\n"));
  CHECK_THAT(scene.client.seen, Contains("grpc-status: 14\r\n"));
}
