// SPDX-License-Identifier: Apache-2.0
// Meshes, policies and calls made of random numbers: the same ones on every machine. What is drawn is mostly
// sound, and now and then each thing that can be wrong with it.
#pragma once

#include <random>
#include <string>

#include "test/l4/why_world.h"

namespace ambientd::l4::test {

class WhyCase {
 public:
  explicit WhyCase(uint64_t seed) : random_(seed) {
    config::Workload caller = workload("client", "127.0.0.1");
    client = below(2);
    caller.ns = client == 0 ? "default" : "other";
    caller.uid = "Kubernetes//Pod/" + caller.ns + "/client";
    caller.name = "client";
    place(caller);
    if (percent(5)) caller.network = "far";
    mesh.workloads.push_back(std::move(caller));
    for (size_t i = 0; i < kServers; ++i) mesh.workloads.push_back(server(i));
    for (size_t i = 0; i < 2; ++i) mesh.services.push_back(called(i));
    mesh.services.push_back(gateway_service("waypoint", "", 15008));
    mesh.services.push_back(gateway_service("gateway", "far", 15009));
    for (size_t i = below(4); i > 0; --i) mesh.policies.push_back(authorization(i));
    missing = percent(20) ? MissingWaypoint::pass : MissingWaypoint::istio;
    target = drawn_target();
    impostors = percent(10);
    real = percent(60);
  }

  config::Mesh mesh;
  MissingWaypoint missing = MissingWaypoint::istio;
  size_t client = 0;  // which pod calls
  SockAddr target;
  bool impostors = false;  // who answers is somebody else
  bool real = false;       // a ztunnel answers, where there is one

  size_t below(size_t n) { return random_() % n; }
  bool percent(size_t n) { return below(100) < n; }

 private:
  void place(config::Workload& w) {
    w.locality = {percent(70) ? "r1" : "r2", percent(60) ? "z1" : "z2", ""};
    w.node = percent(50) ? "n1" : "n2";
  }

  config::GatewayAddress waypoint() {
    if (percent(10)) return {config::NamespacedHostname{"default", "nobody.example"}, 15008};
    if (percent(30)) return {config::NetworkAddress{"", server_ip(below(kServers))}, 15008};
    return by_host("waypoint");
  }

  config::Workload server(size_t i) {
    config::Workload out = workload(server_name(i), server_ip(i).str());
    out.ns = server_ns(i);
    out.name = server_name(i);
    out.uid = "Kubernetes//Pod/" + out.ns + "/" + out.name;
    place(out);
    if (i + 1 == kServers) {
      out.network = "far";
      out.services["default/" + host("gateway")] = {};
      return out;
    }
    if (percent(25)) out.protocol = config::Tunnel::tcp;
    if (percent(15)) out.status = config::Health::unhealthy;
    if (percent(5)) out.addresses.clear();
    if (percent(20)) out.waypoint = waypoint();
    if (percent(5)) out.missing_waypoint = "default/gone";
    if (percent(10)) out.native_tunnel = true;
    out.capacity = static_cast<uint32_t>(below(4));
    if (percent(20)) set_network(out);
    if (percent(15)) {
      out.application_tunnel.emplace();
      if (percent(50)) out.application_tunnel->protocol = config::ApplicationTunnel::Protocol::proxy;
      if (percent(50)) out.application_tunnel->port = 8081;
    }
    if (percent(20)) out.authorization_policies = {"default/policy-" + std::to_string(below(5))};
    for (const char* name : {"a", "b"})
      if (percent(60)) out.services["default/" + host(name)] = own_ports();
    if (percent(40)) out.services["default/" + host("waypoint")] = {{15008, 15008}};
    return out;
  }

  void set_network(config::Workload& out) {
    out.network = "far";
    if (percent(20)) return;
    if (percent(50)) {
      out.network_gateway = by_host("gateway", 15009);
    } else {
      out.network_gateway = {config::NetworkAddress{"far", server_ip(kServers - 1)}, 15008};
    }
  }

  config::PortMap own_ports() {
    if (percent(60)) return {};
    return {{8000, percent(10) ? 15001 : percent(50) ? 8080 : 8081}};
  }

  config::Service called(size_t i) {
    config::Service out = service(i == 0 ? "a" : "b", vip(i).str(), 8000, percent(90) ? 8080 : 0);
    if (percent(25)) out.waypoint = waypoint();
    if (percent(5)) out.missing_waypoint = "default/gone";
    if (percent(10))
      out.weighted_waypoints = {{waypoint(), 1}, {waypoint(), static_cast<uint32_t>(below(3))}};
    if (percent(30))
      out.subject_alt_names = {"spiffe://cluster.local/ns/default/sa/other-a", "not an identity"};
    if (percent(10)) out.visibility = config::Visibility::ns;
    if (percent(10)) out.cidr_vips = {{"", *Cidr::parse(vip(2).str() + "/31")}};
    if (percent(40)) out.load_balancer = balancer();
    return out;
  }

  config::LoadBalancer balancer() {
    using Balancer = config::LoadBalancer;
    Balancer out;
    out.mode = static_cast<Balancer::Mode>(below(4));
    if (percent(30)) out.routing_preferences.push_back(Balancer::Scope::network);
    for (auto scope : {Balancer::Scope::region, Balancer::Scope::zone, Balancer::Scope::node})
      if (percent(60)) out.routing_preferences.push_back(scope);
    if (percent(20)) out.health_policy = Balancer::HealthPolicy::allow_all;
    return out;
  }

  config::Service gateway_service(const std::string& name, const std::string& network, uint16_t port) {
    config::Service out = service(name, "", port, 15008);
    out.vips = {{network, vip(name == "gateway" ? 9 : 8)}};
    if (percent(30)) out.subject_alt_names = {"spiffe://cluster.local/ns/default/sa/other-" + name};
    return out;
  }

  policy::Authorization authorization(size_t i) {
    using policy::Authorization;
    Authorization out{.name = "policy-" + std::to_string(i), .ns = "default"};
    out.scope = static_cast<Authorization::Scope>(below(3));
    if (percent(30)) out.ns = "other";
    if (percent(50)) out.action = Authorization::Action::deny;
    out.dry_run = percent(15);
    for (size_t rules = below(3); rules > 0; --rules) {
      policy::Rule rule;
      for (size_t clauses = below(3); clauses > 0; --clauses) rule.push_back({match()});
      out.rules.push_back(std::move(rule));
    }
    return out;
  }

  policy::Match match() {
    using Kind = policy::StringMatch::Kind;
    policy::Match out;
    if (percent(40)) out.namespaces = {{Kind::exact, percent(50) ? "default" : "other"}};
    if (percent(20)) out.not_namespaces = {{Kind::suffix, "er"}};
    if (percent(30))
      out.principals = {{Kind::prefix, percent(70) ? "cluster.local/ns/default" : "elsewhere"}};
    if (percent(20)) out.not_principals = {{Kind::presence, ""}};
    if (percent(20)) out.service_accounts = {{percent(50) ? "default" : "other", "client"}};
    if (percent(20)) out.source_ips = {*Cidr::parse(percent(60) ? "127.0.0.0/8" : "10.0.0.0/8")};
    if (percent(20)) out.not_destination_ips = {{*Cidr::parse(server_ip(below(kServers)).str())}};
    if (percent(30)) out.destination_ports = {uint16_t(percent(60) ? 8080 : 8081)};
    return out;
  }

  SockAddr drawn_target() {
    if (percent(60)) return {vip(below(2)), 8000};
    if (percent(10)) return {vip(0), 8001};
    if (percent(20)) return {vip(2 + below(2)), 8000};
    return {server_ip(below(kServers)), uint16_t(percent(60) ? 8080 : 8081)};
  }

  std::mt19937_64 random_;
};

}  // namespace ambientd::l4::test
