// SPDX-License-Identifier: Apache-2.0
#include "l4/decide.h"

#include "test/l4/mesh.h"
#include "test/support/catch.h"

using namespace ambientd;
using namespace ambientd::config;
using namespace ambientd::l4;
using namespace ambientd::l4::test;
using ambientd::l4::test::host;
using ambientd::l4::test::service;

namespace {

constexpr const char* kSelf = "10.0.0.1";

// The mesh most cases look at; a case changes it.
struct World {
  Mesh mesh;
  std::string self = "client";
  std::string from = kSelf;

  World() {
    mesh.workloads = {workload("client", kSelf), behind(workload("echo", "10.0.0.2"), "echo"),
                      workload("plain", "10.0.0.3", Tunnel::tcp),
                      behind(workload("waypoint", "10.0.0.9", Tunnel::tcp), "waypoint", {{15008, 15008}})};
    mesh.services = {service("echo", "10.1.0.2"), service("waypoint", "10.1.0.9", 15008, 15008)};
  }
  Workload& pod(const std::string& name) {
    for (Workload& each : mesh.workloads)
      if (each.workload_name == name) return each;
    FAIL("no workload " + name);
    return mesh.workloads.front();
  }
  Service& named(const std::string& name) {
    for (Service& each : mesh.services)
      if (each.name == name) return each;
    FAIL("no service " + name);
    return mesh.services.front();
  }
  Result<Decision> ask(const std::string& target, uint64_t random = 0) const {
    SnapshotPtr snapshot = Snapshot::build(mesh);
    WorkloadPtr own = snapshot->workload_by_name(self + "-0", "default", self);
    REQUIRE(own);
    Call call{*own, *Ip::parse(from), *SockAddr::parse(target)};
    return decide(*snapshot, "", call, random);
  }
};

// A decision in one line: `hbone 10.0.0.2:15008 for 10.0.0.2:8080 as echo,waypoint`, or its error.
std::string told(const Result<Decision>& decision) {
  if (!decision) return std::string(name(decision.error().code)) + ": " + decision.error().detail;
  if (decision->protocol == Decision::Protocol::tcp) return "tcp " + decision->to.str();
  std::string peers;
  for (const Identity& each : decision->peers) peers += (peers.empty() ? "" : ",") + each.sa;
  return "hbone " + decision->to.str() + " for " + decision->authority + " as " + peers;
}

using Change = void (*)(World&);
struct Case {
  const char* what;
  Change change;
  const char* target;
  const char* expected;
};

void nothing(World&) {}

void check(std::span<const Case> cases) {
  for (const Case& c : cases) {
    INFO(c.what);
    World world;
    c.change(world);
    CHECK(told(world.ask(c.target)) == c.expected);
  }
}

}  // namespace

TEST_CASE("workloads and services decide the way of a call") {
  const Case cases[] = {
      {"nobody knows the address", nothing, "192.0.2.1:443", "tcp 192.0.2.1:443"},
      {"a workload in the mesh", nothing, "10.0.0.2:9000", "hbone 10.0.0.2:15008 for 10.0.0.2:9000 as echo"},
      {"a workload outside the mesh", nothing, "10.0.0.3:9000", "tcp 10.0.0.3:9000"},
      {"a call to ourselves goes through the mesh too", nothing, "10.0.0.1:9000",
       "hbone 10.0.0.1:15008 for 10.0.0.1:9000 as client"},
      {"a service", nothing, "10.1.0.2:80", "hbone 10.0.0.2:15008 for 10.0.0.2:8080 as echo"},
      {"a service in front of plain TCP", [](World& w) { w.pod("echo").protocol = Tunnel::tcp; },
       "10.1.0.2:80", "tcp 10.0.0.2:8080"},
      {"the endpoint's own port beats the service's",
       [](World& w) { w.pod("echo").services["default/" + host("echo")] = {{80, 9999}}; }, "10.1.0.2:80",
       "hbone 10.0.0.2:15008 for 10.0.0.2:9999 as echo"},
      {"a named target port that the endpoint resolves",
       [](World& w) {
         w.named("echo").ports[80].target = 0;
         w.pod("echo").services["default/" + host("echo")] = {{80, 7000}};
       },
       "10.1.0.2:80", "hbone 10.0.0.2:15008 for 10.0.0.2:7000 as echo"},
      {"further identities of the service, where they are identities",
       [](World& w) {
         w.named("echo").subject_alt_names = {"spiffe://td/ns/a/sa/other", "echo.example.com"};
       },
       "10.1.0.2:80", "hbone 10.0.0.2:15008 for 10.0.0.2:8080 as other,echo"},
      {"a workload on the host's network is reached through its service",
       [](World& w) {
         w.pod("echo").network_mode = NetworkMode::host_network;
         w.pod("echo").protocol = Tunnel::tcp;
       },
       "10.1.0.2:80", "tcp 10.0.0.2:8080"},
      {"but not known by its address",
       [](World& w) { w.pod("echo").network_mode = NetworkMode::host_network; }, "10.0.0.2:80",
       "tcp 10.0.0.2:80"},
      {"an unhealthy workload that is addressed itself",
       [](World& w) { w.pod("echo").status = Health::unhealthy; }, "10.0.0.2:80",
       "hbone 10.0.0.2:15008 for 10.0.0.2:80 as echo"},
  };
  check(cases);
}

TEST_CASE("a service without an endpoint fails and never goes out in plaintext") {
  const Case cases[] = {
      {"no endpoint at all", [](World& w) { w.pod("echo").services.clear(); }, "10.1.0.2:80",
       "no_healthy_upstream: no healthy upstream: 10.1.0.2:80"},
      {"none that is healthy", [](World& w) { w.pod("echo").status = Health::unhealthy; }, "10.1.0.2:80",
       "no_healthy_upstream: no healthy upstream: 10.1.0.2:80"},
      {"a port the service does not have", nothing, "10.1.0.2:81",
       "no_healthy_upstream: no healthy upstream: 10.1.0.2:81"},
      {"a named port nobody resolves",
       [](World& w) {
         w.named("echo").ports[80].target = 0;
         w.pod("echo").services["default/" + host("echo")].clear();
       },
       "10.1.0.2:80", "no_healthy_upstream: no healthy upstream: 10.1.0.2:80"},
      {"an endpoint of the wrong family only",
       [](World& w) {
         w.pod("echo").addresses = {*Ip::parse("fd00::2")};
         w.named("echo").ip_families = IpFamilies::ipv4;
       },
       "10.1.0.2:80",
       "no_destination: no valid routing destination for workload: Workload{echo-0 with uid "
       "Kubernetes//Pod/default/echo (HBONE)}"},
  };
  check(cases);
}

TEST_CASE("passthrough services are passed through, and their waypoint still wins") {
  auto passthrough = [](World& w) {
    w.named("echo").load_balancer = LoadBalancer{.mode = LoadBalancer::Mode::passthrough};
    w.pod("echo").services.clear();
  };
  World world;
  passthrough(world);
  CHECK(told(world.ask("10.1.0.2:80")) == "tcp 10.1.0.2:80");
  world.named("echo").waypoint = by_host("waypoint");
  CHECK(told(world.ask("10.1.0.2:80")) == "hbone 10.0.0.9:15008 for 10.1.0.2:80 as waypoint");
}

TEST_CASE("an address that a service and a workload of the mesh share is never passed in plaintext") {
  World world;
  world.named("echo").vips = {{"", *Ip::parse("10.0.0.2")}};
  CHECK(told(world.ask("10.0.0.2:80")) == "hbone 10.0.0.2:15008 for 10.0.0.2:8080 as echo");
  world.pod("echo").services.clear();
  CHECK(told(world.ask("10.0.0.2:80")) == "hbone 10.0.0.2:15008 for 10.0.0.2:80 as echo");
  world.named("echo").load_balancer = LoadBalancer{.mode = LoadBalancer::Mode::passthrough};
  CHECK(told(world.ask("10.0.0.2:80")) == "hbone 10.0.0.2:15008 for 10.0.0.2:80 as echo");
}

TEST_CASE("a service waypoint is asked for the service, untranslated") {
  const char* expected = "hbone 10.0.0.9:15008 for 10.1.0.2:80 as waypoint";
  const Case cases[] = {
      {"by hostname of a service", [](World& w) { w.named("echo").waypoint = by_host("waypoint"); },
       "10.1.0.2:80", expected},
      {"by VIP of a service", [](World& w) { w.named("echo").waypoint = by_ip("10.1.0.9"); }, "10.1.0.2:80",
       expected},
      {"by address of a workload", [](World& w) { w.named("echo").waypoint = by_ip("10.0.0.9"); },
       "10.1.0.2:80", expected},
      {"by hostname of a workload",
       [](World& w) {
         w.pod("waypoint").hostname = "waypoint.example.com";
         w.named("echo").waypoint = {NamespacedHostname{"default", "waypoint.example.com"}, 15008};
       },
       "10.1.0.2:80", expected},
      {"through the waypoint service's port mapping",
       [](World& w) {
         w.named("waypoint").ports[15009].target = 16000;
         w.named("echo").waypoint = by_host("waypoint", 15009);
       },
       "10.1.0.2:80", "hbone 10.0.0.9:16000 for 10.1.0.2:80 as waypoint"},
      {"with the further identities of its service",
       [](World& w) {
         w.named("echo").waypoint = by_host("waypoint");
         w.named("waypoint").subject_alt_names = {"spiffe://td/ns/a/sa/other"};
       },
       "10.1.0.2:80", "hbone 10.0.0.9:15008 for 10.1.0.2:80 as other,waypoint"},
      {"even when the service has no endpoint",
       [](World& w) {
         w.named("echo").waypoint = by_host("waypoint");
         w.pod("echo").services.clear();
       },
       "10.1.0.2:80", expected},
      {"an IPv6 target through an IPv4 waypoint",
       [](World& w) {
         w.named("echo").vips.push_back({"", *Ip::parse("fd01::2")});
         w.named("echo").waypoint = by_host("waypoint");
       },
       "[fd01::2]:80", "hbone 10.0.0.9:15008 for [fd01::2]:80 as waypoint"},
      {"not when the pod itself is addressed",
       [](World& w) { w.named("echo").waypoint = by_host("waypoint"); }, "10.0.0.2:80",
       "hbone 10.0.0.2:15008 for 10.0.0.2:80 as echo"},
  };
  check(cases);
}

TEST_CASE("a waypoint that cannot be resolved is an error, never a way round it") {
  const Case cases[] = {
      {"an unknown hostname", [](World& w) { w.named("echo").waypoint = by_host("gone"); }, "10.1.0.2:80",
       "unknown_waypoint: unknown waypoint: waypoint default/gone.default.svc.cluster.local not found"},
      {"an unknown address", [](World& w) { w.named("echo").waypoint = by_ip("10.7.7.7"); }, "10.1.0.2:80",
       "unknown_waypoint: unknown waypoint: waypoint /10.7.7.7 not found"},
      {"a service without endpoints",
       [](World& w) {
         w.named("echo").waypoint = by_host("waypoint");
         w.pod("waypoint").services.clear();
       },
       "10.1.0.2:80",
       "unknown_waypoint: unknown waypoint: waypoint default/waypoint.default.svc.cluster.local not found"},
      {"of a workload", [](World& w) { w.pod("echo").waypoint = by_host("gone"); }, "10.0.0.2:80",
       "unknown_waypoint: unknown waypoint: waypoint default/gone.default.svc.cluster.local not found"},
  };
  check(cases);
}

TEST_CASE("a workload waypoint is for calls to the workload itself") {
  World world;
  world.pod("echo").waypoint = by_host("waypoint");
  CHECK(told(world.ask("10.0.0.2:80")) == "hbone 10.0.0.9:15008 for 10.0.0.2:80 as waypoint");
  CHECK(told(world.ask("10.1.0.2:80")) == "hbone 10.0.0.2:15008 for 10.0.0.2:8080 as echo");
  world.pod("client").waypoint = by_host("gone");  // our own is never used
  CHECK(told(world.ask("10.1.0.2:80")) == "hbone 10.0.0.2:15008 for 10.0.0.2:8080 as echo");
}

TEST_CASE("a call from the waypoint itself, by identity and address, is not sent there again") {
  World world;
  world.pod("echo").waypoint = by_host("waypoint");
  world.self = "waypoint";
  world.from = "10.0.0.9";
  CHECK(told(world.ask("10.0.0.2:80")) == "hbone 10.0.0.2:15008 for 10.0.0.2:80 as echo");
  world.from = "10.0.0.8";
  CHECK(told(world.ask("10.0.0.2:80")) == "hbone 10.0.0.9:15008 for 10.0.0.2:80 as waypoint");
  world.from = "10.0.0.9";
  world.self = "client";
  CHECK(told(world.ask("10.0.0.2:80")) == "hbone 10.0.0.9:15008 for 10.0.0.2:80 as waypoint");
}

TEST_CASE("weighted waypoints share a service's calls") {
  World world;
  world.mesh.workloads.push_back(workload("second", "10.0.0.10", Tunnel::tcp));
  world.named("echo").weighted_waypoints = {{by_host("waypoint"), 1}, {by_ip("10.0.0.10"), 1}};
  CHECK(told(world.ask("10.1.0.2:80", 0)) == "hbone 10.0.0.9:15008 for 10.1.0.2:80 as waypoint");
  CHECK(told(world.ask("10.1.0.2:80", 1)) == "hbone 10.0.0.10:15008 for 10.1.0.2:80 as second");
}

TEST_CASE("another network is never reached in plaintext") {
  World world;
  world.pod("echo").network = "far";
  world.pod("echo").network_gateway = by_ip("10.0.0.9");
  Result<Decision> decision = world.ask("10.1.0.2:80");
  REQUIRE_FALSE(decision);
  CHECK(decision.error().code == Errc::no_destination);
  world.pod("echo").network_gateway.reset();
  CHECK(told(world.ask("10.1.0.2:80")) ==
        "no_destination: no valid routing destination for workload: Workload{echo-0 with uid "
        "Kubernetes//Pod/default/echo (HBONE)}");
}

TEST_CASE("endpoints share a service's calls, and the decision names both records") {
  World world;
  world.mesh.workloads.push_back(behind(workload("second", "10.0.0.5", Tunnel::tcp), "echo"));
  Result<Decision> first = world.ask("10.1.0.2:80", 0), second = world.ask("10.1.0.2:80", uint64_t{1} << 32);
  CHECK(told(first) == "hbone 10.0.0.2:15008 for 10.0.0.2:8080 as echo");
  CHECK(told(second) == "tcp 10.0.0.5:8080");
  CHECK(second->workload->workload_name == "second");
  CHECK(second->service->hostname == host("echo"));
}

TEST_CASE("the address family of the target is kept where the endpoint has it") {
  World world;
  world.named("echo").vips.push_back({"", *Ip::parse("fd01::2")});
  world.pod("echo").addresses.push_back(*Ip::parse("fd00::2"));
  CHECK(told(world.ask("[fd01::2]:80")) == "hbone [fd00::2]:15008 for [fd00::2]:8080 as echo");
  CHECK(told(world.ask("10.1.0.2:80")) == "hbone 10.0.0.2:15008 for 10.0.0.2:8080 as echo");
}

TEST_CASE("a call to one of our own ports that comes back to us is seen") {
  auto at = [](const char* text) { return *SockAddr::parse(text); };
  CHECK(calls_ourselves(at("127.0.0.1:15001"), at("127.0.0.1:15001")));
  CHECK(calls_ourselves(at("[::1]:15008"), at("[::1]:15001")));
  CHECK(calls_ourselves(at("10.0.0.1:15001"), at("10.0.0.1:15001")));
  CHECK_FALSE(calls_ourselves(at("10.0.0.2:15008"), at("127.0.0.1:15001")));
  CHECK_FALSE(calls_ourselves(at("127.0.0.1:8080"), at("127.0.0.1:15001")));
}
