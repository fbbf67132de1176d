// SPDX-License-Identifier: Apache-2.0
#include "config/local.h"

#include "test/config/given.h"

namespace ambientd::config {
namespace {

const std::string kFull =
    "workloads:\n"
    "- uid: c//Pod/default/a\n"
    "  name: a\n"
    "  namespace: default\n"
    "  trustDomain: cluster.local\n"
    "  serviceAccount: sa\n"
    "  workloadIps: [127.0.0.2, '::2']\n"
    "  protocol: HBONE\n"
    "  capacity: 3\n"
    "  waypoint: {destination: default/wp.example.com, hboneMtlsPort: 15009}\n"
    "  services: {default/example.com: {80: 8080}}\n"
    "  authorizationPolicies: [default/p]\n"
    "- {name: b, namespace: default, workloadIps: [127.0.0.3], workloadType: pod}\n"
    "services:\n"
    "- name: s\n"
    "  namespace: default\n"
    "  hostname: example.com\n"
    "  vips: [net/127.10.0.1, /127.10.0.2]\n"
    "  cidrVips: [{network: net, cidr: 10.0.0.0/8}]\n"
    "  ports: {80: 8080}\n"
    "  waypoint: {destination: net/10.0.0.1}\n"
    "  endpoints: {x: {workloadUid: //Pod/default/b, port: {80: 9090}}}\n"
    "  loadBalancer: {routingPreferences: [Region, Network], mode: Failover, healthPolicy: AllowAll}\n"
    "  ipFamilies: Dual\n"
    "  visibility: Namespace\n"
    "policies:\n"
    "- {name: p, namespace: default, scope: WorkloadSelector, action: Deny, rules: [[[{principals: [!Exact "
    "x]}]]]}\n";

std::string workload(std::string_view more) {
  return fmt::format("workloads: [{{name: a, namespace: n, workloadIps: []{}}}]", more);
}

std::string policy_with(std::string_view match) {
  return fmt::format(
      "policies: [{{name: p, namespace: n, scope: Global, action: Allow, rules: [[[{{{}}}]]], dryRun: "
      "false}}]",
      match);
}

}  // namespace

TEST_CASE("a local file is the model, written out") {
  Mesh mesh = mesh_of(kFull);
  const Workload& a = mesh.workloads.at(0);
  CHECK(a.identity().uri() == "spiffe://cluster.local/ns/default/sa/sa");
  CHECK(a.addresses.size() == 2);
  CHECK(a.capacity == 3);
  CHECK(a.waypoint->str() == "default/wp.example.com");
  CHECK(a.waypoint->hbone_mtls_port == 15009);
  CHECK(a.services.at("default/example.com") == PortMap{{80, 8080}});
  CHECK(mesh.workloads.at(1).uid == "//Pod/default/b");
  CHECK(mesh.workloads.at(1).trust_domain.empty());
  const Service& s = mesh.services.at(0);
  CHECK(s.vips.at(0).str() == "net/127.10.0.1");
  CHECK(s.vips.at(1).network.empty());
  CHECK(s.waypoint->str() == "net/10.0.0.1");
  CHECK(s.load_balancer->mode == LoadBalancer::Mode::failover);
  CHECK(s.ports.at(80).protocol == AppProtocol::sniff);
  CHECK(s.visibility == Visibility::ns);
}

TEST_CASE("endpoints come from the workload's services and from the service's endpoints") {
  SnapshotPtr snapshot = snapshot_of(kFull);
  std::span<const Endpoint> endpoints = snapshot->endpoints(*snapshot->service("default", "example.com"));
  REQUIRE(endpoints.size() == 2);
  CHECK(endpoints[0].ports->at(80) == 9090);
  CHECK(endpoints[1].ports->at(80) == 8080);
}

TEST_CASE("both spellings of a string match are taken") {
  struct Case {
    const char* text;
    policy::StringMatch wanted;
  };
  using Kind = policy::StringMatch::Kind;
  const Case cases[] = {{"!Exact x", {Kind::exact, "x"}},     {"!Exact 'x'", {Kind::exact, "x"}},
                        {"{Exact: x}", {Kind::exact, "x"}},   {"!Prefix x", {Kind::prefix, "x"}},
                        {"{Suffix: x}", {Kind::suffix, "x"}}, {"Presence", {Kind::presence, ""}},
                        {"!Presence", {Kind::presence, ""}},  {"{Presence: null}", {Kind::presence, ""}}};
  for (const Case& c : cases) {
    INFO(c.text);
    Mesh mesh = mesh_of(policy_with(fmt::format("notPrincipals: [{}]", c.text)));
    CHECK(mesh.policies.at(0).rules.at(0).at(0).at(0).not_principals.at(0) == c.wanted);
  }
}

TEST_CASE("Kubernetes objects and local YAML may be mixed in one file") {
  Mesh mesh = mesh_of(kFull + pod("demo", "k", "10.0.0.1", "app: k"));
  CHECK(mesh.workloads.size() == 3);
}

TEST_CASE("an unknown field is an error at every level") {
  struct Case {
    std::string text;
    const char* path;
  };
  const Case cases[] = {
      {"workloads: []\nextra: 1", "extra"},
      {workload(", extra: 1"), "workloads[0].extra"},
      {workload(", waypoint: {destination: a/b, extra: 1}"), "workloads[0].waypoint.extra"},
      {workload(", locality: {region: a, zone: b, subzone: c, extra: 1}"), "workloads[0].locality.extra"},
      {"services: [{name: a, namespace: n, hostname: h, vips: [], ports: {}, extra: 1}]",
       "services[0].extra"},
      {"services: [{name: a, namespace: n, hostname: h, vips: [], ports: {}, endpoints: {x: {extra: 1}}}]",
       "services[0].endpoints.x.extra"},
      {policy_with("extra: 1"), "policies[0].rules[0][0][0].extra"},
  };
  for (const Case& c : cases) {
    INFO(c.text);
    CHECK_THAT(errors_of(c.text), Catch::EndsWith(std::string(c.path) + ": unknown field"));
  }
}

TEST_CASE("what is wrong in a local file is one error with its place") {
  struct Case {
    std::string text;
    const char* error;
  };
  const Case cases[] = {
      {"workloads: {}", "x.yaml:1: workloads: must be a list"},
      {"workloads: [1]", "x.yaml:1: workloads[0]: must be a map"},
      {"workloads:\n- name: a\n  namespace: n\n",
       "x.yaml:2: workload n/a: workloads[0].workloadIps: is required"},
      {workload(", protocol: hbone"),
       "x.yaml:1: workload n/a: workloads[0].protocol: must be one of TCP, HBONE, not \"hbone\""},
      {workload(", services: {x: {80: 80}}"),
       "x.yaml:1: workload n/a: workloads[0].services.x: the key must be "
       "namespace/hostname"},
      {workload(", services: {a/b: {0: 80}}"),
       "x.yaml:1: workload n/a: workloads[0].services.a/b.0: the key must be a "
       "port from 1 to 65535"},
      {workload(", waypoint: {destination: x}"),
       "x.yaml:1: workload n/a: workloads[0].waypoint.destination: must be "
       "network/ip or namespace/hostname, not \"x\""},
      {"services: [{name: a, namespace: n, hostname: h, vips: [10.0.0.1], ports: {}}]",
       "x.yaml:1: service n/a: services[0].vips[0]: must be network/ip, not \"10.0.0.1\""},
      {"policies: [{name: p, namespace: n, scope: Global, rules: []}]",
       "x.yaml:1: policy n/p: policies[0].action: is "
       "required"},
      {policy_with("principals: [x]"),
       "x.yaml:1: policy n/p: policies[0].rules[0][0][0].principals[0]: must be !Exact, "
       "!Prefix or !Suffix with a text, or Presence"},
      {policy_with("sourceIps: [x]"),
       "x.yaml:1: policy n/p: policies[0].rules[0][0][0].sourceIps[0]: must be an IP "
       "address or a prefix like 10.0.0.0/24, not \"x\""},
      {policy_with("destinationPorts: ['80']"),
       "x.yaml:1: policy n/p: policies[0].rules[0][0][0].destinationPorts[0]: "
       "must be a number from 1 to 65535"},
      {"workloads: [{uid: u, namespace: n, workloadIps: []}, {uid: u, namespace: n, workloadIps: []}]",
       "workload u: is defined twice"},
  };
  for (const Case& c : cases) {
    INFO(c.text);
    CHECK(errors_of(c.text) == c.error);
  }
}

}  // namespace ambientd::config
