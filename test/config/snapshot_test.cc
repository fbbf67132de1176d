// SPDX-License-Identifier: Apache-2.0
#include "config/snapshot.h"

#include "test/support/catch.h"

namespace ambientd::config {
namespace {

const Ip kIp = Ip::v4(10, 0, 0, 1);

Workload workload(std::string uid, Tunnel protocol = Tunnel::hbone) {
  Workload out;
  out.name = uid.substr(uid.rfind('/') + 1);
  out.uid = std::move(uid);
  out.ns = "demo";
  out.service_account = "sa";
  out.addresses = {kIp};
  out.protocol = protocol;
  return out;
}

Service service(std::string ns, std::string hostname) {
  Service out;
  out.name = hostname;
  out.ns = std::move(ns);
  out.hostname = std::move(hostname);
  out.vips = {{"", Ip::v4(10, 9, 0, 1)}};
  out.ports[80].target = 8080;
  return out;
}

policy::Authorization authorization(std::string ns, std::string name, policy::Authorization::Scope scope) {
  policy::Authorization out;
  out.ns = std::move(ns);
  out.name = std::move(name);
  out.scope = scope;
  return out;
}

std::string ns_of(const ServicePtr& service) { return service ? service->ns : "none"; }

}  // namespace

TEST_CASE("of several workloads on one address a pod in the mesh is found") {
  Mesh mesh;
  mesh.workloads = {workload("K/entry/demo/hbone"), workload("K//Pod/demo/plain", Tunnel::tcp),
                    workload("K/entry/demo/other", Tunnel::tcp), workload("K//Pod/demo/meshed")};
  SnapshotPtr snapshot = Snapshot::build(mesh);
  CHECK(snapshot->workload_by_ip("", kIp)->name == "meshed");
  CHECK(snapshot->workload_by_ip("other", kIp) == nullptr);
  mesh.workloads.pop_back();
  CHECK(Snapshot::build(mesh)->workload_by_ip("", kIp)->name == "plain");
  std::swap(mesh.workloads[0], mesh.workloads[1]);
  mesh.workloads.erase(mesh.workloads.begin());
  CHECK(Snapshot::build(mesh)->workload_by_ip("", kIp)->name == "hbone");
}

TEST_CASE("a host-network workload is found by uid and never by address") {
  Mesh mesh;
  mesh.workloads = {workload("K//Pod/demo/a")};
  mesh.workloads[0].network_mode = NetworkMode::host_network;
  SnapshotPtr snapshot = Snapshot::build(std::move(mesh));
  CHECK(snapshot->workload_by_ip("", kIp) == nullptr);
  CHECK(snapshot->workload_by_uid("K//Pod/demo/a") != nullptr);
}

TEST_CASE("a pod finds itself by name, namespace and service account together") {
  Mesh mesh;
  mesh.workloads = {workload("K//Pod/demo/a")};
  SnapshotPtr snapshot = Snapshot::build(std::move(mesh));
  CHECK(snapshot->workload_by_name("a", "demo", "sa") != nullptr);
  CHECK(snapshot->workload_by_name("a", "demo", "other") == nullptr);
  CHECK(snapshot->workload_by_name("a", "other", "sa") == nullptr);
}

TEST_CASE("a VIP belongs to the client's namespace, then to the canonical service, then to the first") {
  Mesh mesh;
  mesh.services = {service("a", "x.com"), service("b", "x.com"), service("c", "x.com")};
  mesh.services[1].canonical = true;
  SnapshotPtr snapshot = Snapshot::build(mesh);
  const Ip vip = Ip::v4(10, 9, 0, 1);
  CHECK(ns_of(snapshot->service_by_vip("", vip, "c")) == "c");
  CHECK(ns_of(snapshot->service_by_vip("", vip, "other")) == "b");
  CHECK(ns_of(snapshot->service_by_hostname("x.com", "other")) == "b");
  CHECK(ns_of(snapshot->service_by_hostname("x.com", "a")) == "a");
  mesh.services[1].canonical = false;
  CHECK(ns_of(Snapshot::build(mesh)->service_by_vip("", vip, "other")) == "a");
}

TEST_CASE("a service of one namespace is hidden from clients of others, and seen where no client is named") {
  Mesh mesh;
  mesh.services = {service("a", "x.com")};
  mesh.services[0].visibility = Visibility::ns;
  SnapshotPtr snapshot = Snapshot::build(std::move(mesh));
  const Ip vip = Ip::v4(10, 9, 0, 1);
  CHECK(ns_of(snapshot->service_by_vip("", vip, "a")) == "a");
  CHECK(ns_of(snapshot->service_by_vip("", vip, "b")) == "none");
  CHECK(ns_of(snapshot->service_by_vip("", vip, "")) == "a");
}

TEST_CASE("an exact VIP beats a prefix, and the longest prefix the others") {
  auto with_cidr = [](std::string ns, const char* cidr) {
    Service out = service(std::move(ns), "x.com");
    out.vips.clear();
    out.cidr_vips = {{"", *Cidr::parse(cidr)}};
    return out;
  };
  Mesh mesh;
  mesh.services = {service("a", "x.com"), with_cidr("b", "10.0.0.0/8"), with_cidr("c", "10.9.0.0/16")};
  SnapshotPtr snapshot = Snapshot::build(std::move(mesh));
  CHECK(ns_of(snapshot->service_by_vip("", Ip::v4(10, 9, 0, 1), "x")) == "a");
  CHECK(ns_of(snapshot->service_by_vip("", Ip::v4(10, 9, 0, 2), "x")) == "c");
  CHECK(ns_of(snapshot->service_by_vip("", Ip::v4(10, 9, 0, 2), "b")) == "b");
  CHECK(ns_of(snapshot->service_by_vip("", Ip::v4(10, 1, 0, 2), "x")) == "b");
  CHECK(ns_of(snapshot->service_by_vip("", Ip::v4(11, 1, 0, 2), "x")) == "none");
}

TEST_CASE("endpoints are the healthy workloads that name the service, or all where the service says so") {
  Mesh mesh;
  mesh.services = {service("demo", "x.com")};
  mesh.workloads = {workload("K//Pod/demo/a"), workload("K//Pod/demo/b"), workload("K//Pod/demo/c")};
  mesh.workloads[0].services["demo/x.com"] = {{80, 8080}};
  mesh.workloads[1].services["demo/x.com"] = {{80, 8081}};
  mesh.workloads[1].status = Health::unhealthy;
  mesh.workloads[2].services["demo/other.com"] = {{80, 1}};
  SnapshotPtr snapshot = Snapshot::build(mesh);
  std::span<const Endpoint> some = snapshot->endpoints(*snapshot->service("demo", "x.com"));
  REQUIRE(some.size() == 1);
  CHECK(some[0].workload->name == "a");
  CHECK(some[0].ports->at(80) == 8080);
  mesh.services[0].load_balancer.emplace().health_policy = LoadBalancer::HealthPolicy::allow_all;
  SnapshotPtr all = Snapshot::build(mesh);
  CHECK(all->endpoints(*all->service("demo", "x.com")).size() == 2);
}

TEST_CASE("policies of a workload are the global ones, its namespace's and those it names") {
  using Scope = policy::Authorization::Scope;
  Mesh mesh;
  mesh.policies = {authorization("root", "global", Scope::global), authorization("demo", "own", Scope::ns),
                   authorization("other", "not", Scope::ns),
                   authorization("demo", "named", Scope::workload_selector),
                   authorization("demo", "unnamed", Scope::workload_selector)};
  Workload subject = workload("K//Pod/demo/a");
  subject.authorization_policies = {"demo/named", "demo/gone"};
  SnapshotPtr snapshot = Snapshot::build(std::move(mesh));
  std::vector<std::string> unknown, found;
  for (const AuthorizationPtr& policy : snapshot->policies_for(subject, &unknown))
    found.push_back(policy->name);
  CHECK(found == std::vector<std::string>{"global", "own", "named"});
  CHECK(unknown == std::vector<std::string>{"demo/gone"});
}

TEST_CASE("records outlive the snapshot they came from") {
  Mesh mesh;
  mesh.workloads = {workload("K//Pod/demo/a")};
  mesh.workloads[0].services["demo/x.com"] = {{80, 8080}};
  SnapshotPtr snapshot = Snapshot::build(std::move(mesh));
  WorkloadPtr kept = snapshot->workload_by_ip("", kIp);
  std::weak_ptr<const Snapshot> gone = snapshot;
  snapshot.reset();
  CHECK(gone.expired());
  CHECK(kept->services.at("demo/x.com").at(80) == 8080);
}

TEST_CASE("L7 policies of a service are its own, its gateway's and the class's") {
  auto named = [](const char* name) {
    auto out = std::make_shared<policy::L7Authorization>();
    out->name = name;
    return out;
  };
  Mesh mesh;
  mesh.waypoint_class_policies = {named("class")};
  mesh.gateway_policies["demo/waypoint"] = {named("gateway")};
  mesh.service_policies["demo/x.com"] = {named("service")};
  mesh.routes["demo/x.com"][80].routed = true;
  SnapshotPtr snapshot = Snapshot::build(std::move(mesh));
  CHECK(snapshot->l7_policies("demo/x.com", "demo/waypoint").size() == 3);
  CHECK(snapshot->l7_policies("demo/x.com", "demo/other").size() == 2);
  CHECK(snapshot->l7_policies("demo/y.com", "").size() == 1);
  CHECK(snapshot->routes("demo/x.com", 80)->routed);
  CHECK(snapshot->routes("demo/x.com", 81) == nullptr);
}

}  // namespace ambientd::config
