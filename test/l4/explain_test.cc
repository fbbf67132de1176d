// SPDX-License-Identifier: Apache-2.0
#include "l4/explain.h"

#include <nlohmann/json.hpp>

#include "l4/why_page.h"
#include "test/l4/mesh.h"
#include "test/support/catch.h"

using namespace ambientd;
using namespace ambientd::l4;
using namespace ambientd::l4::test;
using ambientd::l4::test::host;
using ambientd::l4::test::service;
using nlohmann::json;

namespace {

config::Mesh mesh() {
  config::Mesh out;
  out.workloads = {workload("client", "10.0.0.1"), behind(workload("echo", "10.0.0.2"), "echo"),
                   behind(workload("second", "10.0.0.3", config::Tunnel::tcp), "echo")};
  out.workloads[0].addresses.push_back(*Ip::parse("fd00::1"));
  out.services = {service("echo", "10.1.0.2")};
  out.services[0].vips.push_back({"", *Ip::parse("fd01::2")});
  return out;
}

Explanation why(const config::Mesh& of, const std::string& source, const std::string& destination,
                const Rules& rules = {}) {
  config::SnapshotPtr snapshot = config::Snapshot::build(of);
  Result<Question> question = understand(*snapshot, rules.network, "cluster.local", source, destination);
  INFO((question ? "" : question.error().detail));
  REQUIRE(question);
  return explain(*snapshot, rules, std::move(*question));
}

std::string asked(const std::string& source, const std::string& destination) {
  config::SnapshotPtr snapshot = config::Snapshot::build(mesh());
  Result<Question> out = understand(*snapshot, "", "cluster.local", source, destination);
  if (!out) return out.error().detail;
  return out->source->name + " at " + out->from.str() + " to " + out->target.str();
}

AdminResponse page(const std::string& query, const std::string& method = "GET", bool configured = true) {
  config::SnapshotPtr snapshot = config::Snapshot::build(mesh());
  AdminRequest request{.method = method, .path = "/debug/why", .query = query, .fields = {}, .body = ""};
  return answer_why(configured ? snapshot.get() : nullptr, {}, request);
}

}  // namespace

TEST_CASE("both ends of a call are named as people name them") {
  struct Case {
    const char *source, *destination, *means;
  };
  const Case cases[] = {
      {"default/client-0", "10.1.0.2:80", "client-0 at 10.0.0.1 to 10.1.0.2:80"},
      {"Kubernetes//Pod/default/client", "10.1.0.2:80", "client-0 at 10.0.0.1 to 10.1.0.2:80"},
      {"fd00::1", "[fd00::9]:1", "client-0 at fd00::1 to [fd00::9]:1"},
      {"10.0.0.1", "echo:80", "client-0 at 10.0.0.1 to 10.1.0.2:80"},
      {"fd00::1", "echo.default:80", "client-0 at fd00::1 to [fd01::2]:80"},
      {"10.0.0.1", "echo.default.svc:80", "client-0 at 10.0.0.1 to 10.1.0.2:80"},
      {"10.0.0.1", "echo.default.svc.cluster.local:80", "client-0 at 10.0.0.1 to 10.1.0.2:80"},
      {"10.0.0.1", "default/second-0:8080", "client-0 at 10.0.0.1 to 10.0.0.3:8080"},
      {"10.9.9.9", "echo:80",
       "no workload \"10.9.9.9\" (want NAMESPACE/NAME, a uid or an address; `ambientd ctl workloads` lists "
       "them)"},
      {"10.0.0.1", "echo", "destination \"echo\" is not IP:PORT, HOSTNAME:PORT or NAMESPACE/NAME:PORT"},
      {"10.0.0.1", "echo:0", "destination \"echo:0\" is not IP:PORT, HOSTNAME:PORT or NAMESPACE/NAME:PORT"},
      {"10.0.0.1", "default/nobody:80", "no workload \"default/nobody\""},
      {"10.0.0.1", "other:80", "no service \"other\" that namespace \"default\" may see"},
  };
  for (const Case& c : cases) CHECK(asked(c.source, c.destination) == c.means);
}

TEST_CASE("every way a call may take is there, with whom it expects and what its far end says") {
  Explanation out = why(mesh(), "10.0.0.1", "echo:80");
  CHECK(out.uncaptured.empty());
  CHECK(out.complete);
  REQUIRE(out.ways.size() == 2);
  CHECK(out.ways[0].decision->to.str() == "10.0.0.2:15008");
  REQUIRE(out.ways[0].far_end);
  CHECK(out.ways[0].far_end->status == 200);
  CHECK(out.ways[0].far_end->admission->app.str() == "10.0.0.2:8080");
  CHECK(out.ways[1].decision->to.str() == "10.0.0.3:8080");
  CHECK_FALSE(out.ways[1].far_end);
}

TEST_CASE("weighted waypoints are ways of their own, as far as there are so many") {
  config::Mesh of = mesh();
  for (uint32_t i = 0; i < 100; ++i) {
    std::string name = "waypoint-" + std::to_string(i);
    of.workloads.push_back(workload(name, "10.0.1." + std::to_string(i)));
    of.workloads.back().hostname = host(name);
    of.services[0].weighted_waypoints.push_back({by_ip("10.0.1." + std::to_string(i)), i < 3 ? 2u : 0u});
  }
  CHECK(why(of, "10.0.0.1", "echo:80").ways.size() == 3);
  for (config::WeightedWaypoint& each : of.services[0].weighted_waypoints) each.weight = 2;
  Explanation many = why(of, "10.0.0.1", "echo:80");
  CHECK(many.ways.size() == 64);
  CHECK_FALSE(many.complete);
}

TEST_CASE("each policy comes with its verdict, and the rule that decided") {
  using policy::Authorization;
  config::Mesh of = mesh();
  auto named = [&](const char* name, Authorization::Action action, std::vector<policy::Rule> rules) {
    Authorization out{.name = name, .ns = "default", .scope = Authorization::Scope::ns};
    out.action = action;
    out.rules = std::move(rules);
    of.policies.push_back(std::move(out));
  };
  policy::Match to_8080, elsewhere;
  to_8080.destination_ports = {8080};
  elsewhere.destination_ports = {1};
  named("a-allow", Authorization::Action::allow, {{{elsewhere}}, {{to_8080}}});
  named("b-deny", Authorization::Action::deny, {{{elsewhere}}});
  named("c-dry", Authorization::Action::deny, {{{to_8080}}});
  of.policies.back().dry_run = true;
  of.workloads[1].authorization_policies = {"default/unsent"};
  json far = shown(why(of, "10.0.0.1", "default/echo-0:8080"))["ways"][0]["farEnd"];
  INFO(far.dump(1));
  CHECK(far["status"] == 401);
  CHECK(far["unknownPolicies"] == json{"default/unsent"});
  REQUIRE(far["policies"].size() == 3);
  CHECK(far["policies"][0]["verdict"] == "allows");
  CHECK(far["policies"][0]["ruleNumber"] == 2);
  CHECK(far["policies"][0]["rule"] == json::parse(R"([[{"destinationPorts":[8080]}]])"));
  CHECK(far["policies"][0]["decided"] == false);
  CHECK(far["policies"][1]["verdict"] == "does not match");
  CHECK(far["policies"][2]["verdict"] == "would deny (dry run)");
  of.workloads[1].authorization_policies.clear();
  far = shown(why(of, "10.0.0.1", "default/echo-0:8080"))["ways"][0]["farEnd"];
  CHECK(far["status"] == 200);
  CHECK(far["decidedBy"] == "default/a-allow");
  CHECK(far["policies"][0]["decided"] == true);
}

TEST_CASE("a call that no ztunnel sees says so") {
  CHECK(why(mesh(), "default/second-0", "echo:80").uncaptured == "it is not in the mesh");
  CHECK(why(mesh(), "10.0.0.1", "127.0.0.1:80").uncaptured == "what a pod sends to itself is not captured");
}

TEST_CASE("what is refused is explained as well") {
  json out = shown(why(mesh(), "10.0.0.1", "echo:81"));
  CHECK(out["ways"] == json::parse(R"([{"error":"no healthy upstream: 10.1.0.2:81"}])"));
  for (const json& each : out["choices"][0]["candidates"]) CHECK(each["in"] == false);
}

TEST_CASE("the page takes two bounded names and says what is wrong with others") {
  CHECK(page("src=default/client-0&dst=echo:80").status == 200);
  CHECK(json::parse(page("src=10.0.0.1&dst=10.9.9.9:443").body)["ways"][0]["hops"][0]["what"] ==
        "destination outside of the mesh");
  CHECK(page("src=10.0.0.1").status == 400);
  CHECK(page("src=10.0.0.1&dst=" + std::string(600, 'a') + ":80").status == 400);
  CHECK(page("src=10.0.0.1&dst=echo").status == 400);
  CHECK(page("src=10.0.0.9&dst=echo:80").status == 404);
  CHECK(page("src=10.0.0.1&dst=echo:80", "POST").status == 405);
  CHECK(page("src=10.0.0.1&dst=echo:80", "GET", false).status == 503);
}
