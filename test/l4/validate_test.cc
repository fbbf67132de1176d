// SPDX-License-Identifier: Apache-2.0
#include "l4/validate.h"

#include "test/l4/mesh.h"
#include "test/support/catch.h"

using namespace ambientd;
using namespace ambientd::config;
using namespace ambientd::l4;
using namespace ambientd::l4::test;
using ambientd::l4::test::host;
using ambientd::l4::test::service;

namespace {

constexpr const char* kLocal = "10.0.0.2";

Mesh world() {
  Mesh mesh;
  mesh.workloads = {behind(workload("echo", kLocal), "echo"), workload("other", "10.0.0.3"),
                    behind(workload("backend", "10.0.0.4"), "backend")};
  mesh.services = {service("echo", "10.1.0.2"), service("backend", "10.1.0.4")};
  return mesh;
}

Workload& named(Mesh& mesh, const std::string& name) {
  for (Workload& each : mesh.workloads)
    if (each.workload_name == name) return each;
  FAIL("no workload " + name);
  return mesh.workloads.front();
}

// `10.0.0.2:8080`, with the service where the authority named one, or the error.
std::string told(const Mesh& mesh, const std::string& authority) {
  SnapshotPtr snapshot = Snapshot::build(mesh);
  WorkloadPtr self = snapshot->workload_by_name("echo-0", "default", "echo");
  Result<Admission> admission = validate(*snapshot, "", *self, {*Ip::parse(kLocal), 15008}, authority);
  if (!admission) return std::string(name(admission.error().code)) + ": " + admission.error().detail;
  return admission->app.str() + (admission->service ? " of " + admission->service->name : "");
}

using Change = void (*)(Mesh&);
struct Case {
  const char* what;
  Change change;
  const char* authority;
  const char* expected;
};

void nothing(Mesh&) {}

void check(std::span<const Case> cases) {
  for (const Case& c : cases) {
    INFO(c.what);
    Mesh mesh = world();
    c.change(mesh);
    CHECK(told(mesh, c.authority) == c.expected);
  }
}

}  // namespace

TEST_CASE("an authority leads to the pod it was sent to, or nowhere") {
  const Case cases[] = {
      {"its own address", nothing, "10.0.0.2:8080", "10.0.0.2:8080"},
      {"somebody else's", nothing, "10.0.0.3:8080", "ip_mismatch: ip mismatch: 10.0.0.2 != 10.0.0.3"},
      {"an address nobody knows", nothing, "192.0.2.1:80", "ip_mismatch: ip mismatch: 10.0.0.2 != 192.0.2.1"},
      {"loopback", nothing, "127.0.0.1:80", "ip_mismatch: ip mismatch: 10.0.0.2 != 127.0.0.1"},
      {"another family", nothing, "[fd00::2]:80", "ip_mismatch: ip mismatch: 10.0.0.2 != fd00::2"},
      {"a service's VIP that is not for us", nothing, "10.1.0.2:80",
       "ip_mismatch: ip mismatch: 10.0.0.2 != 10.1.0.2"},
      {"no port", nothing, "10.0.0.2", "bad_request: no valid authority pseudo header: \"10.0.0.2\""},
  };
  check(cases);
}

TEST_CASE("a hostname's port is the one behind its service") {
  const Case cases[] = {
      {"the service's target", nothing, "echo.default.svc.cluster.local:80", "10.0.0.2:8080 of echo"},
      {"a named target port",
       [](Mesh& m) {
         m.services[0].ports[80].target = 0;
         named(m, "echo").services["default/" + host("echo")] = {{80, 7000}};
       },
       "echo.default.svc.cluster.local:80", "10.0.0.2:7000 of echo"},
      {"a port it does not have", nothing, "echo.default.svc.cluster.local:81",
       "no_destination: requested service echo.default.svc.cluster.local:81 found, but cannot resolve port"},
      {"nobody's hostname", nothing, "gone.default.svc.cluster.local:80",
       "not_found: no service or workload for hostname: gone.default.svc.cluster.local"},
      {"a workload's hostname", [](Mesh& m) { named(m, "echo").hostname = "vm.example.com"; },
       "vm.example.com:9000", "10.0.0.2:9000"},
  };
  check(cases);
}

TEST_CASE("a waypoint is asked for those whose waypoint it is") {
  const Case cases[] = {
      {"a service with us as its waypoint, by hostname",
       [](Mesh& m) { m.services[1].waypoint = by_host("echo"); }, "10.1.0.4:80", "10.0.0.2:80"},
      {"by address", [](Mesh& m) { m.services[1].waypoint = by_ip(kLocal); }, "10.1.0.4:80", "10.0.0.2:80"},
      {"by weight", [](Mesh& m) { m.services[1].weighted_waypoints = {{by_host("echo"), 1}}; }, "10.1.0.4:80",
       "10.0.0.2:80"},
      {"a workload with us as its waypoint", [](Mesh& m) { named(m, "backend").waypoint = by_host("echo"); },
       "10.0.0.4:80", "10.0.0.2:80"},
      {"a service with another waypoint", [](Mesh& m) { m.services[1].waypoint = by_ip("10.0.0.3"); },
       "10.1.0.4:80", "ip_mismatch: ip mismatch: 10.0.0.2 != 10.1.0.4"},
      {"a workload with another waypoint", [](Mesh& m) { named(m, "backend").waypoint = by_ip("10.0.0.3"); },
       "10.0.0.4:80", "ip_mismatch: ip mismatch: 10.0.0.2 != 10.0.0.4"},
  };
  check(cases);
}

TEST_CASE("a port of the proxy is never reached, also not through a mapping") {
  for (const char* port : {"15001", "15006", "15008"}) {
    CHECK(told(world(), std::string("10.0.0.2:") + port) ==
          "self_call: attempted recursive call to ourselves");
  }
  Mesh mesh = world();
  named(mesh, "echo").services["default/" + host("echo")] = {{80, 15008}};
  CHECK(told(mesh, host("echo") + ":80") == "self_call: attempted recursive call to ourselves");
}

TEST_CASE("an application tunnel takes every address on its port") {
  Mesh mesh = world();
  named(mesh, "echo").application_tunnel = ApplicationTunnel{.port = 15088};
  CHECK(told(mesh, "10.0.0.2:80") == "10.0.0.2:15088");
  CHECK(told(mesh, "10.1.0.4:80") == "10.0.0.2:15088");
  CHECK(told(mesh, host("backend") + ":80") == "10.0.0.2:15088 of backend");
}

TEST_CASE("an application tunnel with PROXY headers tells where the call was meant to go") {
  Mesh mesh = world();
  using Protocol = ApplicationTunnel::Protocol;
  named(mesh, "echo").application_tunnel = ApplicationTunnel{.protocol = Protocol::proxy, .port = 15088};
  mesh.services[1].vips = {
      {"far", *Ip::parse("10.9.0.4")}, {"", *Ip::parse("fd01::4")}, {"", *Ip::parse("10.1.0.4")}};
  auto told_of = [&](const std::string& authority) -> std::string {
    SnapshotPtr snapshot = Snapshot::build(mesh);
    WorkloadPtr self = snapshot->workload_by_name("echo-0", "default", "echo");
    Result<Admission> admission = validate(*snapshot, "", *self, {*Ip::parse(kLocal), 15008}, authority);
    if (!admission) return admission.error().detail;
    REQUIRE(admission->told);
    return admission->app.str() + " told " + admission->told->target.str() + " " + admission->told->hostname;
  };
  CHECK(told_of("10.1.0.4:80") == "10.0.0.2:15088 told 10.1.0.4:80 " + host("backend"));
  CHECK(told_of("10.0.0.2:80") == "10.0.0.2:15088 told 10.0.0.2:80 ");
  CHECK(told_of(host("backend") + ":80") == "10.0.0.2:15088 told 10.1.0.4:80 " + host("backend"));
  mesh.services[1].vips.pop_back();
  CHECK(told_of(host("backend") + ":80") == "10.0.0.2:15088 told [fd01::4]:80 " + host("backend"));
  mesh.services[1].vips.pop_back();
  CHECK(told_of(host("backend") + ":80") == "10.0.0.2:15088 told 10.9.0.4:80 " + host("backend"));
  mesh.services[1].vips.clear();
  CHECK(told_of(host("backend") + ":80") ==
        "requested service " + host("backend") + " found, but has no IP addresses");
  named(mesh, "echo").application_tunnel->port = 15008;
  CHECK(told_of("10.1.0.4:80") == "attempted recursive call to ourselves");
}

TEST_CASE("the service is the one that was meant, else the first that leads to the port") {
  Mesh mesh = world();
  mesh.services.push_back(service("second", "10.1.0.5"));
  mesh.workloads[0] = behind(mesh.workloads[0], "second");
  SnapshotPtr snapshot = Snapshot::build(mesh);
  WorkloadPtr self = snapshot->workload_by_name("echo-0", "default", "echo");
  auto meant = [&](const std::string& forwarded, uint16_t port) {
    ServicePtr found = meant_service(*snapshot, *self, forwarded, port);
    return found ? found->name : "none";
  };
  CHECK(meant(host("second"), 8080) == "second");
  CHECK(meant("", 8080) == "echo");
  CHECK(meant(host("backend"), 8080) == "echo");  // not one of ours
  CHECK(meant("", 1) == "none");
}

TEST_CASE("a source is looked up on our network only") {
  SnapshotPtr snapshot = Snapshot::build(world());
  Ip other = *Ip::parse("10.0.0.3");
  CHECK(source_workload(*snapshot, "", other, {})->workload_name == "other");
  CHECK(source_workload(*snapshot, "", other, "")->workload_name == "other");
  CHECK_FALSE(source_workload(*snapshot, "", other, "far"));
  CHECK_FALSE(source_workload(*snapshot, "", *Ip::parse("192.0.2.1"), {}));
}
