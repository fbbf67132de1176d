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
  MissingWaypoint missing = MissingWaypoint::istio;
  std::vector<std::string> tried;  // workloads by name

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
  Result<Decision> ask(const std::string& target, uint64_t random = 0, Trace* trace = nullptr) const {
    SnapshotPtr snapshot = Snapshot::build(mesh);
    std::vector<WorkloadPtr> failed;
    for (const std::string& name : tried)
      failed.push_back(snapshot->workload_by_uid("Kubernetes//Pod/default/" + name));
    WorkloadPtr own = snapshot->workload_by_name(self + "-0", "default", self);
    REQUIRE(own);
    Call call{*own, *Ip::parse(from), *SockAddr::parse(target)};
    return decide(*snapshot, {"", missing}, call, random, failed, trace);
  }
};

// A decision in one line: `hbone 10.0.0.2:15008 for 10.0.0.2:8080 as echo,waypoint`, or its error.
std::string told(const Result<Decision>& decision) {
  if (!decision) return std::string(name(decision.error().code)) + ": " + decision.error().detail;
  std::string to = decision->to.str();
  if (!decision->hostname.empty()) to = decision->hostname + ":" + std::to_string(decision->to.port);
  if (!decision->skipped_waypoint.empty()) to += " without " + decision->skipped_waypoint;
  auto accounts = [](const std::vector<Identity>& of) {
    std::string out;
    for (const Identity& each : of) out += (out.empty() ? "" : ",") + each.sa;
    return out;
  };
  if (decision->protocol == Decision::Protocol::tcp) return "tcp " + to;
  std::string out = "hbone " + to + " for " + decision->authority + " as " + accounts(decision->peers);
  if (decision->protocol == Decision::Protocol::hbone) return out;
  return "double " + out + " then " + accounts(decision->inner_peers) + " of " +
         decision->workload->workload_name;
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

namespace {

// echo moves to network `far`, behind a gateway that is named by address.
void far(World& w) {
  Workload gateway = workload("gateway", "172.16.0.1", Tunnel::tcp);
  gateway.network = "far";
  w.mesh.workloads.push_back(gateway);
  w.pod("echo").network = "far";
  w.pod("echo").network_gateway = GatewayAddress{NetworkAddress{"far", *Ip::parse("172.16.0.1")}, 15009};
}

// The same, with a gateway that is a service.
void far_by_host(World& w) {
  far(w);
  w.mesh.services.push_back(service("gateway", "", 15009, 15008));
  w.pod("gateway") = behind(w.pod("gateway"), "gateway", {{15009, 15008}});
  w.pod("echo").network_gateway = by_host("gateway", 15009);
}

}  // namespace

TEST_CASE("another network is reached through its gateway, by double HBONE") {
  const char* by_ip =
      "double hbone 172.16.0.1:15009 for echo.default.svc.cluster.local:80 as gateway then echo "
      "of echo";
  const Case cases[] = {
      {"a gateway by address", far, "10.1.0.2:80", by_ip},
      {"a gateway by hostname, through its service's port mapping", far_by_host, "10.1.0.2:80",
       "double hbone 172.16.0.1:15008 for echo.default.svc.cluster.local:80 as gateway then echo of echo"},
      {"further identities of both services",
       [](World& w) {
         far_by_host(w);
         w.named("gateway").subject_alt_names = {"spiffe://td/ns/a/sa/gw2"};
         w.named("echo").subject_alt_names = {"spiffe://td/ns/a/sa/echo2"};
       },
       "10.1.0.2:80",
       "double hbone 172.16.0.1:15008 for echo.default.svc.cluster.local:80 as gw2,gateway then echo2,echo "
       "of "
       "echo"},
      {"a workload without an address of its own",
       [](World& w) {
         far(w);
         w.pod("echo").addresses.clear();
       },
       "10.1.0.2:80", by_ip},
      {"one without an account: its service's identities only",
       [](World& w) {
         far(w);
         w.pod("echo").service_account.clear();
         w.named("echo").subject_alt_names = {"spiffe://td/ns/a/sa/x"};
       },
       "10.1.0.2:80",
       "double hbone 172.16.0.1:15009 for echo.default.svc.cluster.local:80 as gateway then x of echo"},
      {"nobody who may answer there",
       [](World& w) {
         far(w);
         w.pod("echo").service_account.clear();
       },
       "10.1.0.2:80",
       "no_destination: service default/echo.default.svc.cluster.local on network 'far' names nobody who may "
       "answer there (no subjectAltNames)"},
      {"a gateway that is only a hostname",
       [](World& w) {
         far(w);
         w.pod("gateway").addresses.clear();
         w.pod("gateway").hostname = "gw.example.com";
         w.pod("echo").network_gateway = {NamespacedHostname{"default", "gw.example.com"}, 15008};
       },
       "10.1.0.2:80",
       "double hbone gw.example.com:15008 for echo.default.svc.cluster.local:80 as gateway then echo of "
       "echo"},
      {"no gateway",
       [](World& w) {
         far(w);
         w.pod("echo").network_gateway.reset();
       },
       "10.1.0.2:80",
       "no_destination: no valid routing destination for workload: Workload{echo-0 with uid "
       "Kubernetes//Pod/default/echo (HBONE)}"},
      {"an unknown gateway",
       [](World& w) {
         far(w);
         w.pod("echo").network_gateway = by_host("gone");
       },
       "10.1.0.2:80",
       "no_destination: unknown network gateway: network gateway default/gone.default.svc.cluster.local not "
       "found"},
      {"its waypoint is there",
       [](World& w) {
         far(w);
         w.named("echo").waypoint = by_host("waypoint");
         w.pod("waypoint").network = "far";
         w.pod("waypoint").network_gateway = w.pod("echo").network_gateway;
       },
       "10.1.0.2:80",
       "double hbone 172.16.0.1:15009 for echo.default.svc.cluster.local:80 as gateway then waypoint of "
       "waypoint"},
      {"an address of another network means nothing here", far, "10.0.0.2:80", "tcp 10.0.0.2:80"},
  };
  check(cases);
}

TEST_CASE("endpoints of the own network come first, others when those have failed") {
  World world;
  far(world);
  world.mesh.workloads.push_back(behind(workload("near", "10.0.0.7"), "echo"));
  world.named("echo").load_balancer = LoadBalancer{.mode = LoadBalancer::Mode::failover,
                                                   .routing_preferences = {LoadBalancer::Scope::network}};
  for (uint64_t random : {uint64_t{0}, uint64_t{1} << 32})
    CHECK(told(world.ask("10.1.0.2:80", random)) == "hbone 10.0.0.7:15008 for 10.0.0.7:8080 as near");
  world.tried = {"near"};
  CHECK(told(world.ask("10.1.0.2:80")) ==
        "double hbone 172.16.0.1:15009 for echo.default.svc.cluster.local:80 as gateway then echo of echo");
}

TEST_CASE("what has failed is not tried again") {
  struct Try {
    const char* what;
    Change change;
    std::vector<std::string> tried;
    const char* target;
    const char* expected;
  };
  auto second = [](World& w) { w.mesh.workloads.push_back(behind(workload("second", "10.0.0.5"), "echo")); };
  const char* none = "no_healthy_upstream: no healthy upstream: 10.1.0.2:80";
  const Try cases[] = {
      {"the other endpoint",
       second,
       {"echo"},
       "10.1.0.2:80",
       "hbone 10.0.0.5:15008 for 10.0.0.5:8080 as second"},
      {"all of them", second, {"echo", "second"}, "10.1.0.2:80", none},
      {"the only one", nothing, {"echo"}, "10.1.0.2:80", none},
      {"a workload by its address",
       nothing,
       {"echo"},
       "10.0.0.2:80",
       "no_healthy_upstream: no healthy upstream: 10.0.0.2:80"},
      {"a workload that a service claims, too",
       [](World& w) { w.named("echo").vips = {{"", *Ip::parse("10.0.0.3")}}; },
       {"echo"},
       "10.0.0.3:80",
       "tcp 10.0.0.3:80"},
      {"an instance of the waypoint",
       [](World& w) {
         w.named("echo").waypoint = by_host("waypoint");
         w.mesh.workloads.push_back(
             behind(workload("w2", "10.0.0.19", Tunnel::tcp), "waypoint", {{15008, 15008}}));
       },
       {"waypoint"},
       "10.1.0.2:80",
       "hbone 10.0.0.19:15008 for 10.1.0.2:80 as w2"},
      {"all instances of the waypoint are never passed by",
       [](World& w) {
         w.named("echo").waypoint = by_host("waypoint");
         w.missing = MissingWaypoint::pass;
       },
       {"waypoint"},
       "10.1.0.2:80",
       "unknown_waypoint: unknown waypoint: waypoint default/waypoint.default.svc.cluster.local not found"},
      {"another weighted waypoint",
       [](World& w) {
         w.mesh.workloads.push_back(workload("second", "10.0.0.10", Tunnel::tcp));
         w.named("echo").weighted_waypoints = {{by_host("waypoint"), 1}, {by_ip("10.0.0.10"), 1}};
       },
       {"waypoint"},
       "10.1.0.2:80",
       "hbone 10.0.0.10:15008 for 10.1.0.2:80 as second"},
      {"a gateway takes all behind it with it",
       [](World& w) {
         far(w);
         Workload two = behind(workload("a-two", ""), "echo");
         two.network = "far";
         two.network_gateway = w.pod("echo").network_gateway;
         w.mesh.workloads.push_back(two);
         w.mesh.workloads.push_back(behind(workload("near", "10.0.0.7"), "echo"));
       },
       {"echo", "gateway"},
       "10.1.0.2:80",
       "hbone 10.0.0.7:15008 for 10.0.0.7:8080 as near"},
  };
  for (const Try& c : cases) {
    INFO(c.what);
    World world;
    c.change(world);
    world.tried = c.tried;
    CHECK(told(world.ask(c.target)) == c.expected);
  }
}

TEST_CASE("a missing waypoint refuses or is passed by, as the switch says") {
  struct Row {
    const char* what;
    Change change;
    const char* target;
    const char *istio, *refuse, *pass;  // by the switch; empty: the waypoint is not found
  };
  auto gone = [](World& w) { w.named("echo").missing_waypoint = "default/gone"; };
  const char* straight = "hbone 10.0.0.2:15008 for 10.0.0.2:8080 as echo";
  const char* direct = "hbone 10.0.0.2:15008 for 10.0.0.2:80 as echo";
  const Row cases[] = {
      {"no waypoint is wanted", nothing, "10.1.0.2:80", straight, straight, straight},
      {"no such Gateway", gone, "10.1.0.2:80", straight, "", straight},
      {"no such Gateway, of the workload", [](World& w) { w.pod("echo").missing_waypoint = "default/gone"; },
       "10.0.0.2:80", direct, "", direct},
      {"not for the pod's own address", gone, "10.0.0.2:80", direct, direct, direct},
      {"no instance", [](World& w) { w.named("echo").waypoint = by_host("gone"); }, "10.1.0.2:80", "", "",
       straight},
      {"no instance, of the workload", [](World& w) { w.pod("echo").waypoint = by_host("gone"); },
       "10.0.0.2:80", "", "", direct},
  };
  for (const Row& c : cases) {
    INFO(c.what);
    World world;
    c.change(world);
    for (auto [missing, expected] :
         {std::pair(MissingWaypoint::istio, c.istio), std::pair(MissingWaypoint::refuse, c.refuse),
          std::pair(MissingWaypoint::pass, c.pass)}) {
      world.missing = missing;
      Result<Decision> decision = world.ask(c.target);
      if (*expected == 0) {
        REQUIRE_FALSE(decision);
        CHECK(decision.error().code == Errc::unknown_waypoint);
        CHECK(decision.error().detail.starts_with("unknown waypoint: waypoint default/gone"));
        continue;
      }
      REQUIRE(decision);
      bool skipped = missing != MissingWaypoint::refuse && std::string(c.what) != "no waypoint is wanted" &&
                     std::string(c.what) != "not for the pod's own address";
      CHECK(decision->skipped_waypoint.empty() != skipped);
      decision->skipped_waypoint.clear();
      CHECK(told(decision) == expected);
    }
  }
}

TEST_CASE("a workload that is only a hostname waits for DNS, and goes where that says") {
  World world;
  world.pod("echo").addresses.clear();
  world.pod("echo").hostname = "echo.example.com";
  Result<Decision> decision = world.ask("10.1.0.2:80");
  CHECK(told(decision) == "hbone echo.example.com:15008 for  as echo");
  WorkloadPtr self = std::make_shared<const Workload>(world.pod("client"));
  Call call{*self, *Ip::parse(kSelf), *SockAddr::parse("10.1.0.2:80")};
  const std::vector<Ip> found = {*Ip::parse("fd00::7"), *Ip::parse("10.0.0.7")};
  Decision done = *decision;
  CHECK(complete(done, found, call));
  CHECK(told(done) == "hbone 10.0.0.7:15008 for 10.0.0.7:8080 as echo");
  call.target = *SockAddr::parse("[fd01::2]:80");
  done = *decision;
  CHECK(complete(done, found, call));
  CHECK(told(done) == "hbone [fd00::7]:15008 for [fd00::7]:8080 as echo");
  world.named("echo").ip_families = IpFamilies::ipv4;
  done = *world.ask("10.1.0.2:80");
  CHECK_FALSE(complete(done, {found.data(), 1}, call));
  world.pod("echo").protocol = Tunnel::tcp;
  done = *world.ask("10.1.0.2:80");
  CHECK(complete(done, found, call));
  CHECK(told(done) == "tcp 10.0.0.7:8080");
}

TEST_CASE("a waypoint that calls its own service is not sent to itself") {
  World world;
  world.named("echo").waypoint = by_host("waypoint");
  world.self = "waypoint";
  world.from = "10.0.0.9";
  CHECK(told(world.ask("10.1.0.2:80")) == "hbone 10.0.0.2:15008 for 10.0.0.2:8080 as echo");
  world.from = "10.0.0.8";
  CHECK(told(world.ask("10.1.0.2:80")) == "hbone 10.0.0.9:15008 for 10.1.0.2:80 as waypoint");
}

TEST_CASE("of several addresses the one that was called is kept, and families are respected") {
  World world;
  world.pod("echo").addresses = {*Ip::parse("10.0.0.2"), *Ip::parse("10.0.1.2"), *Ip::parse("fd00::2")};
  CHECK(told(world.ask("10.0.1.2:80")) == "hbone 10.0.1.2:15008 for 10.0.1.2:80 as echo");
  CHECK(told(world.ask("[fd00::2]:80")) == "hbone [fd00::2]:15008 for [fd00::2]:80 as echo");
  CHECK(told(world.ask("10.1.0.2:80")) == "hbone 10.0.0.2:15008 for 10.0.0.2:8080 as echo");
  world.named("echo").ip_families = IpFamilies::ipv6;
  CHECK(told(world.ask("10.1.0.2:80")) == "hbone [fd00::2]:15008 for [fd00::2]:8080 as echo");
}

TEST_CASE("a trace names what was looked up, every candidate, and why it is out") {
  World world;
  world.mesh.workloads.push_back(behind(workload("second", "10.0.0.5"), "echo"));
  world.mesh.workloads.push_back(behind(workload("sick", "10.0.0.6"), "echo"));
  world.mesh.workloads.push_back(behind(workload("bare", ""), "echo"));
  world.pod("sick").status = Health::unhealthy;
  world.tried = {"second"};
  Trace trace;
  Result<Decision> decision = world.ask("10.1.0.2:80", 0, &trace);
  CHECK(trace.service->name == "echo");
  CHECK_FALSE(trace.addressed);
  REQUIRE(trace.choices.size() == 1);
  CHECK(trace.choices[0].what == "endpoint");
  std::string all;
  for (const Candidate& each : trace.choices[0].candidates)
    all += each.workload->workload_name + ": " + std::string(text(each.standing)) + "\n";
  CHECK(all ==
        "bare: has neither an address nor a network gateway\necho: can be chosen\nsecond: tried and "
        "failed\nsick: not healthy\n");
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
