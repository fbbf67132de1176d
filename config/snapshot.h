// SPDX-License-Identifier: Apache-2.0
// A Snapshot is the whole mesh, indexed and immutable: workers read it without locks and swap it whole.
// A connection keeps the records of its two ends (WorkloadPtr, ServicePtr), never the Snapshot itself.
// Every lookup costs the same at 100 and at 10,000 workloads.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "config/model.h"
#include "config/route.h"
#include "core/result.h"
#include "policy/authorization.h"
#include "policy/jwt_rule.h"

namespace ambientd::config {

using AuthorizationPtr = std::shared_ptr<const policy::Authorization>;

// What targetRefs attached to services (by "ns/hostname"), to Gateways (by "ns/name") and to the class of all
// waypoints.
template <class T>
struct Attached {
  using ByKey = std::map<std::string, std::vector<T>, std::less<>>;
  ByKey services, gateways;
  std::vector<T> waypoint_class;

  bool empty() const { return services.empty() && gateways.empty() && waypoint_class.empty(); }
  // All that counts for a service (empty: a direct request) reached through `gateway`.
  std::vector<T> on(std::string_view service_key, std::string_view gateway) const {
    std::vector<T> out = waypoint_class;
    auto append = [&](const ByKey& from, std::string_view key) {
      auto at = from.find(key);
      if (at != from.end()) out.insert(out.end(), at->second.begin(), at->second.end());
    };
    append(gateways, gateway);
    append(services, service_key);
    return out;
  }
};

// Everything one load produced, before it is indexed. L7 parts are keyed by service "ns/hostname".
struct Mesh {
  std::vector<Workload> workloads;
  std::vector<Service> services;
  std::vector<policy::Authorization> policies;
  std::map<std::string, std::map<uint16_t, HttpRoutes>> routes;      // service key → service port → routes
  std::map<std::string, std::map<uint16_t, TcpRoutes>> tcp_routes;   // the same
  std::map<std::string, std::vector<L7PolicyPtr>> service_policies;  // service key → attached policies
  std::map<std::string, std::vector<L7PolicyPtr>> gateway_policies;  // "ns/gateway name" → attached policies
  std::vector<L7PolicyPtr> waypoint_class_policies;  // attached to GatewayClass istio-waypoint
  Attached<policy::JwtRulePtr> jwt_rules;            // of RequestAuthentications
  std::string root_namespace = "istio-system";
  std::string trust_domain = "cluster.local";
  std::string access_log_file = "/dev/stdout";  // MeshConfig accessLogFile; empty: no access log
};

// One endpoint of a service as load balancing sees it.
struct Endpoint {
  WorkloadPtr workload;
  const PortMap* ports = nullptr;  // service port → target port on this workload; lives in the workload
};

class Snapshot {
 public:
  static std::shared_ptr<const Snapshot> build(Mesh mesh);

  // Workload by IP on a network (host-network workloads are not indexed). Several on one address: the ranking
  // of contract/ztunnel.md §4. Null when there is none.
  WorkloadPtr workload_by_ip(std::string_view network, const Ip& ip) const;
  WorkloadPtr workload_by_uid(std::string_view uid) const;
  // By name, namespace and service account: how a pod finds itself (never by IP).
  WorkloadPtr workload_by_name(std::string_view name, std::string_view ns, std::string_view sa) const;
  WorkloadPtr workload_by_hostname(std::string_view ns, std::string_view hostname) const;

  // get_best_by_vip of §4: visible to `client_ns`, same namespace first, then canonical, then the first;
  // exact VIPs before CIDR ones. An empty client_ns applies no visibility.
  ServicePtr service_by_vip(std::string_view network, const Ip& ip, std::string_view client_ns) const;
  ServicePtr service(std::string_view ns, std::string_view hostname) const;  // exact
  ServicePtr service_by_hostname(std::string_view hostname,
                                 std::string_view client_ns) const;  // best visible one

  std::span<const Endpoint> endpoints(const Service& service) const;

  // Policies that apply to a workload: its namespace's, the global ones, and those it names. Names that do
  // not exist go to *unknown (they must deny).
  std::vector<AuthorizationPtr> policies_for(const Workload& workload,
                                             std::vector<std::string>* unknown) const;

  const HttpRoutes* routes(std::string_view service_key, uint16_t service_port) const;  // null: default route
  const TcpRoutes* tcp_routes(std::string_view service_key, uint16_t service_port) const;  // null: none
  // L7 policies on a service reached through `gateway` ("ns/name"): class, gateway, service-attached
  // together.
  std::vector<L7PolicyPtr> l7_policies(std::string_view service_key, std::string_view gateway) const;

  const Attached<policy::JwtRulePtr>& jwt_rules() const;

  // For dumps, in order: workloads by uid, services by hostname, policies by key.
  std::span<const WorkloadPtr> workloads() const;
  std::span<const ServicePtr> services() const;
  std::span<const AuthorizationPtr> policies() const;
  const std::string& trust_domain() const;
  const std::string& root_namespace() const;
  const std::string& access_log_file() const;  // empty: no access log

 private:
  Snapshot() = default;
  struct Index;
  std::shared_ptr<const Index> index_;
};

using SnapshotPtr = std::shared_ptr<const Snapshot>;

}  // namespace ambientd::config
