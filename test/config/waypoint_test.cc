// SPDX-License-Identifier: Apache-2.0
// Who is bound to which waypoint (contract/kubernetes.md §6).
#include "test/config/given.h"

namespace ambientd::config {
namespace {

constexpr const char* kDemo = "demo/waypoint.demo.svc.cluster.local";

std::string service_waypoint(std::string_view text) {
  ServicePtr found = snapshot_of(text)->service("demo", "a.demo.svc.cluster.local");
  REQUIRE(found);
  return found->waypoint ? found->waypoint->str() : "none";
}

std::string pod_waypoint(std::string_view text) {
  WorkloadPtr found = snapshot_of(text)->workload_by_uid("Kubernetes//Pod/demo/a");
  REQUIRE(found);
  return found->waypoint ? found->waypoint->str() : "none";
}

const std::string kUse = "istio.io/use-waypoint: waypoint";

}  // namespace

TEST_CASE("a service is bound by its own label, else by its namespace's, and `none` opts out") {
  struct Case {
    const char* ns_labels;
    const char* labels;
    const char* wanted;
  };
  const Case cases[] = {
      {"", "", "none"},
      {"", "istio.io/use-waypoint: waypoint", kDemo},
      {"istio.io/use-waypoint: waypoint", "", kDemo},
      {"istio.io/use-waypoint: waypoint", "istio.io/use-waypoint: none", "none"},
      {"istio.io/use-waypoint: waypoint", "istio.io/use-waypoint: unheard-of", "none"},
      {"istio.io/use-waypoint: unheard-of", "istio.io/use-waypoint: waypoint", kDemo},
      {"istio.io/use-waypoint: waypoint", "gateway.istio.io/managed: istio.io-mesh-controller", "none"},
  };
  for (const Case& c : cases) {
    INFO(c.ns_labels << " | " << c.labels);
    CHECK(service_waypoint(ns("demo", c.ns_labels) + waypoint("demo", "waypoint") +
                           service("demo", "a", "10.1.0.1", c.labels)) == c.wanted);
  }
}

TEST_CASE("a waypoint that is asked for and not there is remembered") {
  struct Case {
    const char* what;
    std::string text;
    const char* of_service;
    const char* of_pod;
  };
  const std::string objects = service("demo", "a", "10.1.0.1", kUse) + pod("demo", "a", "10.0.0.1", kUse);
  const std::string plain = service("demo", "a", "10.1.0.1") + pod("demo", "a", "10.0.0.1", "");
  const std::string elsewhere = "istio.io/use-waypoint: waypoint, istio.io/use-waypoint-namespace: other";
  const Case cases[] = {
      {"nothing asked for", plain, "", ""},
      {"no Gateway", objects, "demo/waypoint", "demo/waypoint"},
      {"of the namespace", ns("demo", kUse) + plain, "demo/waypoint", ""},
      {"one that is there", waypoint("demo", "waypoint") + objects, "", ""},
      {"one for other traffic",
       waypoint("demo", "waypoint", ", labels: {istio.io/waypoint-for: none}") + objects, "", ""},
      {"one that lets nobody in",
       waypoint("other", "waypoint") + service("demo", "a", "10.1.0.1", elsewhere) +
           pod("demo", "a", "10.0.0.1", elsewhere),
       "other/waypoint", "other/waypoint"},
      {"opted out",
       service("demo", "a", "10.1.0.1", "istio.io/use-waypoint: none") + pod("demo", "a", "10.0.0.1", ""), "",
       ""},
  };
  for (const Case& c : cases) {
    INFO(c.what);
    SnapshotPtr snapshot = snapshot_of(c.text);
    CHECK(snapshot->service("demo", "a.demo.svc.cluster.local")->missing_waypoint == c.of_service);
    CHECK(snapshot->workload_by_uid("Kubernetes//Pod/demo/a")->missing_waypoint == c.of_pod);
  }
}

TEST_CASE("what a waypoint is for decides whether services or workloads are bound to it") {
  struct Case {
    const char* traffic;
    const char* of_service;
    const char* of_pod;
  };
  const Case cases[] = {{"service", kDemo, "none"},
                        {"workload", "none", kDemo},
                        {"all", kDemo, kDemo},
                        {"none", "none", "none"},
                        {"nonsense", "none", "none"}};
  for (const Case& c : cases) {
    INFO(c.traffic);
    std::string text =
        waypoint("demo", "waypoint", fmt::format(", labels: {{istio.io/waypoint-for: {}}}", c.traffic)) +
        service("demo", "a", "10.1.0.1", kUse) + pod("demo", "a", "10.0.0.1", kUse);
    CHECK(service_waypoint(text) == c.of_service);
    CHECK(pod_waypoint(text) == c.of_pod);
  }
}

TEST_CASE("the class may say what its waypoints are for, and the Gateway overrules it") {
  std::string of_class =
      "---\n{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass, metadata: {name: istio-waypoint, "
      "labels: "
      "{istio.io/waypoint-for: workload}}, spec: {controllerName: istio.io/mesh-controller}}\n";
  CHECK(pod_waypoint(of_class + waypoint("demo", "waypoint") + pod("demo", "a", "10.0.0.1", kUse)) == kDemo);
  std::string own = waypoint("demo", "waypoint", ", labels: {istio.io/waypoint-for: service}");
  CHECK(pod_waypoint(of_class + own + pod("demo", "a", "10.0.0.1", kUse)) == "none");
}

TEST_CASE("a waypoint of another namespace is used only where its listener allows it") {
  const std::string use = kUse + ", istio.io/use-waypoint-namespace: infra";
  const std::string wanted = "infra/waypoint.infra.svc.cluster.local";
  struct Case {
    const char* allowed;
    bool bound;
  };
  const Case cases[] = {
      {"", false},
      {", allowedRoutes: {namespaces: {from: Same}}", false},
      {", allowedRoutes: {namespaces: {from: All}}", true},
      {", allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {team: x}}}}", true},
      {", allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {team: y}}}}", false},
  };
  for (const Case& c : cases) {
    INFO(c.allowed);
    std::string text = ns("demo", "team: x") + waypoint("infra", "waypoint", "", c.allowed) +
                       service("demo", "a", "10.1.0.1", use);
    CHECK(service_waypoint(text) == (c.bound ? wanted : "none"));
    CHECK(warnings_of(text).contains("does not allow namespace demo") == !c.bound);
  }
}

TEST_CASE("a waypoint that does not exist is a loud warning") {
  CHECK(warnings_of(service("demo", "a", "10.1.0.1", kUse)) ==
        "x.yaml:2: Service demo/a: wants waypoint demo/waypoint, which does not exist: its traffic goes "
        "without L7 "
        "policy, or nowhere with --missing-waypoint=refuse");
}

TEST_CASE("an address in status is used as it is, hostname before IP") {
  auto with_status = [](std::string_view addresses) {
    return fmt::format(
        "---\n{{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {{name: waypoint, "
        "namespace: demo}}, "
        "spec: {{gatewayClassName: other, listeners: [{{name: m, port: 15008, protocol: HBONE}}]}}, status: "
        "{{addresses: "
        "[{}]}}}}\n",
        addresses);
  };
  std::string bound = service("demo", "a", "10.1.0.1", kUse);
  CHECK(service_waypoint(with_status("{type: IPAddress, value: 10.5.0.1}") + bound) == "/10.5.0.1");
  CHECK(service_waypoint(
            with_status("{type: IPAddress, value: 10.5.0.1}, {type: Hostname, value: w.example.com}") +
            bound) == "demo/w.example.com");
  CHECK(service_waypoint(with_status("") + bound) == "none");
}

TEST_CASE("an ingress gateway is no waypoint") {
  std::string gateway =
      "---\n{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: waypoint, namespace: "
      "demo}, spec: "
      "{gatewayClassName: istio, listeners: [{name: h, port: 80, protocol: HTTP}]}, status: {addresses: "
      "[{value: "
      "10.5.0.1}]}}\n";
  CHECK(service_waypoint(gateway + service("demo", "a", "10.1.0.1", kUse)) == "none");
}

TEST_CASE("an instance of a waypoint has none itself, and the binding its Gateway asks for") {
  std::string text = ns("demo", kUse) +
                     waypoint("demo", "waypoint",
                              ", labels: {istio.io/waypoint-for: all}, annotations: "
                              "{ambient.istio.io/waypoint-inbound-binding: PROXY/15088}") +
                     pod("demo", "a", "10.0.0.1", "gateway.networking.k8s.io/gateway-name: waypoint");
  CHECK(pod_waypoint(text) == "none");
  WorkloadPtr instance = snapshot_of(text)->workload_by_uid("Kubernetes//Pod/demo/a");
  REQUIRE(instance->application_tunnel);
  CHECK(instance->application_tunnel->protocol == ApplicationTunnel::Protocol::proxy);
  CHECK(instance->application_tunnel->port == 15088);
}

TEST_CASE("a canary waypoint takes its share, and none when anything about it is wrong") {
  auto weights = [](std::string_view labels, std::string_view weight) {
    std::string svc = fmt::format(
        "---\n{{apiVersion: v1, kind: Service, metadata: {{name: a, namespace: demo, labels: {{{}}}, "
        "annotations: "
        "{{istio.io/use-waypoint-canary-weight: '{}'}}}}, spec: {{clusterIP: 10.1.0.1}}}}\n",
        labels, weight);
    SnapshotPtr snapshot = snapshot_of(waypoint("demo", "waypoint") + waypoint("demo", "next") + svc);
    std::vector<uint32_t> out;
    for (const WeightedWaypoint& w :
         snapshot->service("demo", "a.demo.svc.cluster.local")->weighted_waypoints)
      out.push_back(w.weight);
    return out;
  };
  const std::string both = kUse + ", istio.io/use-waypoint-canary: next";
  CHECK(weights(both, "20") == std::vector<uint32_t>{80, 20});
  CHECK(weights(both, "0") == std::vector<uint32_t>{100, 0});
  CHECK(weights(both, "101").empty());
  CHECK(weights(both, "x").empty());
  CHECK(weights("istio.io/use-waypoint-canary: next", "20").empty());
  CHECK(weights(kUse + ", istio.io/use-waypoint-canary: waypoint", "20").empty());
  CHECK(weights(kUse + ", istio.io/use-waypoint-canary: gone", "20").empty());
}

}  // namespace ambientd::config
