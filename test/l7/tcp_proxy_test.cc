// SPDX-License-Identifier: Apache-2.0
#include "l7/tcp_proxy.h"

#include "test/support/catch.h"
#include "test/support/http_script.h"
#include "test/support/run.h"

using namespace ambientd;
using Catch::Contains;
using test::Scene;

namespace {

config::Mesh denying_mesh(uint16_t port) {
  config::Mesh mesh = test::small_mesh();
  auto deny = std::make_shared<policy::L7Authorization>();
  deny->name = "closed";
  deny->ns = "default";
  deny->action = policy::L7Authorization::Action::deny;
  policy::Operation operation;
  operation.ports = {port};
  deny->rules = {{.from = {}, .to = {operation}, .when = {}}};
  mesh.gateway_policies["default/waypoint"] = {deny};
  return mesh;
}

}  // namespace

TEST_CASE("a server that speaks first is heard on a port that is named tcp") {
  Loop loop;
  Scene scene({{"", "220 ready\r\n"}, {"QUIT\r\n", "bye"}, {"", "."}});
  test::run(loop, scene.play("10.96.0.10:90", {{"220 ready\r\n", "QUIT\r\n"}, {"bye", "."}}));
  REQUIRE(scene.lines.size() == 1);
  CHECK_THAT(scene.lines[0], Contains("\"- - -\" 0 - - "));
  CHECK_THAT(scene.lines[0], Contains(" 6 14 "));
  CHECK_THAT(scene.lines[0], Contains("inbound-vip|90|tcp|reviews.default.svc.cluster.local"));
}

TEST_CASE("what is no HTTP on an unnamed port is relayed byte for byte, also straight to a workload") {
  std::string authority = GENERATE("10.96.0.10:9080", "10.1.0.20:6379");
  Loop loop;
  Scene scene({{"GET key\r\n", "$3\r\nfoo\r\n"}, {"", "."}});
  test::run(loop, scene.play(authority, {{"", "GET key\r\n"}, {"foo\r\n", "."}}));
  CHECK(scene.upstream.seen == "GET key\r\n");
}

TEST_CASE("half-close passes through a relayed connection") {
  Loop loop;
  Scene scene({{"all of it", ""}, {"", "late answer"}, {"", "."}});
  test::run(loop, scene.play("10.96.0.10:90", {{"", "all of it"}, {"", "."}, {"late answer", ""}}));
  CHECK(scene.client.seen == "late answer");
}

TEST_CASE("a denied TCP connection is closed before anything is dialled") {
  Loop loop;
  Scene scene({}, denying_mesh(90));
  test::run(loop, scene.play("10.96.0.10:90", {{"", "hello"}}));
  CHECK(scene.connector.dialled.empty());
  REQUIRE(scene.lines.size() == 1);
  CHECK_THAT(scene.lines[0],
             Contains("rbac_access_denied_matched_policy[ns[default]-policy[closed]-rule[0]]"));
}
