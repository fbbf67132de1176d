// SPDX-License-Identifier: Apache-2.0
#include "config/balance.h"

#include <map>
#include <set>
#include <string>

#include "test/support/catch.h"

using namespace ambientd;
using namespace ambientd::config;

namespace {

using Scope = LoadBalancer::Scope;
using Mode = LoadBalancer::Mode;

constexpr const char* kService = "default/echo.default.svc.cluster.local";

Workload workload(const std::string& name, const std::string& ip, const std::string& place = "r/z/n") {
  Workload out;
  out.uid = "Kubernetes//Pod/default/" + name;
  out.name = name;
  out.ns = "default";
  if (!ip.empty()) out.addresses = {*Ip::parse(ip)};
  size_t first = place.find('/'), second = place.rfind('/');
  out.locality.region = place.substr(0, first);
  out.locality.zone = place.substr(first + 1, second - first - 1);
  out.node = place.substr(second + 1);
  return out;
}

Workload backend(const std::string& name, const std::string& ip, const std::string& place = "r/z/n") {
  Workload out = workload(name, ip, place);
  out.services[kService] = {{80, 8080}};
  return out;
}

Service echo() {
  Service out;
  out.name = "echo";
  out.ns = "default";
  out.hostname = "echo.default.svc.cluster.local";
  out.ports[80] = {.target = 8080};
  return out;
}

Service echo(Mode mode, std::vector<Scope> preferences) {
  Service out = echo();
  out.load_balancer = LoadBalancer{.mode = mode, .routing_preferences = std::move(preferences)};
  return out;
}

// Which workloads are chosen, and how often in `rounds` evenly spread draws.
std::map<std::string, int> draws(const Service& service, std::vector<Workload> backends,
                                 const Workload& client, int rounds = 100) {
  Mesh mesh;
  mesh.services = {service};
  mesh.workloads = std::move(backends);
  SnapshotPtr snapshot = Snapshot::build(std::move(mesh));
  std::map<std::string, int> out;
  for (int i = 0; i < rounds; ++i) {
    std::optional<Choice> choice =
        balance(*snapshot, service, 80, client, Purpose::traffic, static_cast<uint64_t>(i));
    ++out[choice ? choice->workload->name : "none"];
  }
  return out;
}

std::set<std::string> names(const std::map<std::string, int>& drawn) {
  std::set<std::string> out;
  for (const auto& [name, n] : drawn) out.insert(name);
  return out;
}

}  // namespace

TEST_CASE("every endpoint gets its share by capacity") {
  Workload heavy = backend("heavy", "10.0.0.1");
  heavy.capacity = 3;
  std::map<std::string, int> drawn =
      draws(echo(), {heavy, backend("light", "10.0.0.2")}, workload("c", "10.0.0.9"));
  CHECK(drawn == std::map<std::string, int>{{"heavy", 75}, {"light", 25}});
}

TEST_CASE("without any weight nothing is chosen") {
  Workload none = backend("none", "10.0.0.1");
  none.capacity = 0;
  CHECK(names(draws(echo(), {none}, workload("c", "10.0.0.9"))) == std::set<std::string>{"none"});
}

TEST_CASE("routing preferences keep the nearest endpoints") {
  struct Case {
    std::string what;
    Mode mode;
    std::vector<Scope> preferences;
    std::vector<std::string> places;  // of endpoints a, b, c
    std::set<std::string> chosen;
  };
  const std::vector<Scope> zonal = {Scope::network, Scope::region, Scope::zone};
  const Case cases[] = {
      {"standard ignores them", Mode::standard, zonal, {"r/z/n", "x/y/m"}, {"a", "b"}},
      {"same zone first", Mode::failover, zonal, {"r/z/n", "r/y/m", "x/z/n"}, {"a"}},
      {"then same region", Mode::failover, zonal, {"r/y/m", "x/z/n"}, {"a"}},
      {"a later match does not count after a mismatch",
       Mode::failover,
       zonal,
       {"x/z/n", "x/y/m"},
       {"a", "b"}},
      {"strict needs all of them", Mode::strict, {Scope::node}, {"r/z/m", "r/z/o"}, {"none"}},
      {"strict takes what matches", Mode::strict, {Scope::node}, {"r/z/n", "r/z/o"}, {"a"}},
      {"strict without preferences takes all", Mode::strict, {}, {"r/z/n", "x/y/m"}, {"a", "b"}},
  };
  for (const Case& c : cases) {
    INFO(c.what);
    std::vector<Workload> backends;
    for (size_t i = 0; i < c.places.size(); ++i)
      backends.push_back(backend(std::string(1, static_cast<char>('a' + i)),
                                 "10.0.0." + std::to_string(i + 1), c.places[i]));
    CHECK(names(draws(echo(c.mode, c.preferences), backends, workload("client", "10.0.0.9", "r/z/n"))) ==
          c.chosen);
  }
}

TEST_CASE("the own network beats any locality, and other networks are still ranked by the rest") {
  const Service service = echo(Mode::failover, {Scope::network, Scope::region, Scope::zone});
  Workload near = backend("near", "10.0.0.1", "r/z/n"), far = backend("far", "10.0.0.2", "x/y/m");
  near.network = "other";
  CHECK(names(draws(service, {near, far}, workload("client", "10.0.0.9", "r/z/n"))) ==
        std::set<std::string>{"far"});
  far.network = "other";
  CHECK(names(draws(service, {near, far}, workload("client", "10.0.0.9", "r/z/n"))) ==
        std::set<std::string>{"near"});
}

TEST_CASE("an endpoint that cannot be reached is not chosen") {
  Workload bare = backend("bare", "");
  CHECK(names(draws(echo(), {bare, backend("a", "10.0.0.1")}, workload("c", "10.0.0.9"))) ==
        std::set<std::string>{"a"});
  bare.network = "other";
  bare.network_gateway = GatewayAddress{NetworkAddress{"other", *Ip::parse("10.9.9.9")}, 15008};
  CHECK(names(draws(echo(), {bare}, workload("c", "10.0.0.9"))) == std::set<std::string>{"bare"});
}

TEST_CASE("each scope is compared by itself") {
  struct Case {
    Scope scope;
    void (*move)(Workload&);
  };
  const Case cases[] = {
      {Scope::region, [](Workload& w) { w.locality.region = "x"; }},
      {Scope::zone, [](Workload& w) { w.locality.zone = "x"; }},
      {Scope::subzone, [](Workload& w) { w.locality.subzone = "x"; }},
      {Scope::node, [](Workload& w) { w.node = "x"; }},
      {Scope::cluster, [](Workload& w) { w.cluster_id = "x"; }},
      {Scope::network, [](Workload& w) { w.network = "x"; }},
  };
  for (const Case& c : cases) {
    INFO(static_cast<int>(c.scope));
    Workload away = backend("away", "10.0.0.1"), client = workload("c", "10.0.0.9");
    c.move(away);
    CHECK(names(draws(echo(Mode::strict, {c.scope}), {away}, client)) == std::set<std::string>{"none"});
    CHECK(names(draws(echo(Mode::failover, {c.scope}), {away}, client)) == std::set<std::string>{"away"});
    CHECK(names(draws(echo(Mode::failover, {c.scope}), {away, backend("here", "10.0.0.2")}, client)) ==
          std::set<std::string>{"here"});
    CHECK(names(draws(echo(Mode::strict, {c.scope}), {backend("here", "10.0.0.2")}, client)) ==
          std::set<std::string>{"here"});
  }
}

TEST_CASE("what was tried is not chosen again, and everybody's standing can be told") {
  Mesh mesh;
  Service service = echo(Mode::failover, {Scope::network, Scope::region, Scope::zone});
  mesh.services = {service};
  Workload sick = backend("sick", "10.0.0.3"), none = backend("none", "10.0.0.4"),
           empty = backend("empty", "10.0.0.5");
  sick.status = Health::unhealthy;
  none.services[kService] = {};
  empty.capacity = 0;
  mesh.workloads = {backend("near", "10.0.0.1"), backend("far", "10.0.0.2", "r/y/m"), sick, none, empty,
                    backend("bare", "")};
  SnapshotPtr snapshot = Snapshot::build(std::move(mesh));
  Workload client = workload("c", "10.0.0.9");
  auto standings = [&](Tried tried, uint16_t port) {
    std::map<std::string, Standing> out;
    for (const Candidate& each : candidates(*snapshot, service, port, client, Purpose::traffic, tried))
      out[each.workload->name] = each.standing;
    return out;
  };
  auto chosen = [&](Tried tried) {
    std::optional<Choice> choice = balance(*snapshot, service, 80, client, Purpose::traffic, 1, tried);
    return choice ? choice->workload->name : "none left";
  };
  auto named = [&](const std::string& name) {
    return snapshot->workload_by_uid("Kubernetes//Pod/default/" + name);
  };
  std::vector<WorkloadPtr> tried;
  std::map<std::string, Standing> expected = {
      {"near", Standing::in}, {"far", Standing::farther},      {"sick", Standing::unhealthy},
      {"none", Standing::in}, {"empty", Standing::weightless}, {"bare", Standing::unreachable}};
  CHECK(standings(tried, 80) == expected);  // `none` has the service's own target port
  for (const auto& [name, standing] : standings(tried, 81)) CHECK(standing == Standing::no_port);
  tried = {named("near"), named("none")};
  expected["near"] = expected["none"] = Standing::tried;
  expected["far"] = Standing::in;
  CHECK(standings(tried, 80) == expected);
  CHECK(chosen(tried) == "far");
  tried.push_back(named("far"));
  CHECK(chosen(tried) == "none left");
}

TEST_CASE("an unhealthy endpoint is chosen only where the service says so") {
  Workload sick = backend("sick", "10.0.0.1");
  sick.status = Health::unhealthy;
  CHECK(names(draws(echo(), {sick}, workload("c", "10.0.0.9"))) == std::set<std::string>{"none"});
  Service all = echo();
  all.load_balancer = LoadBalancer{.health_policy = LoadBalancer::HealthPolicy::allow_all};
  CHECK(names(draws(all, {sick}, workload("c", "10.0.0.9"))) == std::set<std::string>{"sick"});
}

TEST_CASE("the port is the endpoint's own, then the service's, then a waypoint tunnel's") {
  Service service = echo();
  service.ports[81] = {.target = 0};
  auto plain = std::make_shared<Workload>(workload("plain", "10.0.0.1"));
  auto tunnel = std::make_shared<Workload>(*plain);
  tunnel->application_tunnel = ApplicationTunnel{.port = 15088};
  const PortMap own{{80, 9090}, {81, 9091}};
  CHECK(endpoint_port(service, {plain, &own}, 80, Purpose::traffic) == 9090);
  CHECK(endpoint_port(service, {plain, &own}, 81, Purpose::traffic) == 9091);
  CHECK(endpoint_port(service, {plain, nullptr}, 80, Purpose::traffic) == 8080);
  CHECK_FALSE(endpoint_port(service, {plain, nullptr}, 81, Purpose::traffic));
  CHECK_FALSE(endpoint_port(service, {tunnel, nullptr}, 81, Purpose::traffic));
  CHECK(endpoint_port(service, {tunnel, nullptr}, 15008, Purpose::waypoint) == 15008);
}

TEST_CASE("a service without the port has no endpoint for it") {
  Mesh mesh;
  Service service = echo();
  mesh.services = {service};
  mesh.workloads = {backend("a", "10.0.0.1")};
  SnapshotPtr snapshot = Snapshot::build(std::move(mesh));
  CHECK_FALSE(balance(*snapshot, service, 81, workload("c", "10.0.0.9"), Purpose::traffic, 0));
}

TEST_CASE("the address dialled is the one asked for, else one of its family, else any allowed") {
  Workload dual = workload("dual", "10.0.0.1");
  dual.addresses.push_back(*Ip::parse("fd00::1"));
  struct Case {
    std::string target;
    IpFamilies families;
    std::string expected;
  };
  const Case cases[] = {
      {"fd00::1", IpFamilies::automatic, "fd00::1"}, {"fd00::1", IpFamilies::ipv4, "fd00::1"},
      {"10.9.9.9", IpFamilies::dual, "10.0.0.1"},    {"fd99::1", IpFamilies::dual, "fd00::1"},
      {"fd99::1", IpFamilies::ipv4, "10.0.0.1"},     {"10.9.9.9", IpFamilies::ipv6, "fd00::1"},
  };
  for (const Case& c : cases) {
    INFO(c.target);
    Result<Ip> ip = destination_ip(dual, *Ip::parse(c.target), c.families);
    REQUIRE(ip);
    CHECK(ip->str() == c.expected);
  }
}

TEST_CASE("a workload without an address that is allowed cannot be dialled") {
  Workload v6 = workload("only6", "fd00::1");
  Result<Ip> ip = destination_ip(v6, *Ip::parse("10.0.0.1"), IpFamilies::ipv4);
  REQUIRE_FALSE(ip);
  CHECK(ip.error().code == Errc::no_destination);
  CHECK(ip.error().detail ==
        "no valid routing destination for workload: Workload{only6 with uid Kubernetes//Pod/default/only6 "
        "(TCP)}");
}

TEST_CASE("weighted waypoints are sampled, and without any weight the single one counts") {
  Service service = echo();
  CHECK(service_waypoint(service, 0) == nullptr);
  service.waypoint = GatewayAddress{NamespacedHostname{"default", "single"}, 15008};
  CHECK(service_waypoint(service, 7)->str() == "default/single");
  service.weighted_waypoints = {{GatewayAddress{NamespacedHostname{"default", "a"}, 15008}, 0},
                                {GatewayAddress{NamespacedHostname{"default", "b"}, 15008}, 0}};
  CHECK(service_waypoint(service, 7)->str() == "default/single");
  service.weighted_waypoints[0].weight = 1;
  service.weighted_waypoints[1].weight = 3;
  std::map<std::string, int> drawn;
  for (uint64_t i = 0; i < 100; ++i) ++drawn[service_waypoint(service, i)->str()];
  CHECK(drawn == std::map<std::string, int>{{"default/a", 25}, {"default/b", 75}});
}
