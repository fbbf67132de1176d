// SPDX-License-Identifier: Apache-2.0
#include "config/snapshot.h"

#include <fmt/format.h>

#include <algorithm>

#include "config/vip_index.h"

namespace ambientd::config {

namespace {

// Hash and equality that take a string_view for a std::string key, so that a lookup allocates nothing.
struct TextHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};

template <class T>
using ByText = std::unordered_map<std::string, T, TextHash, std::equal_to<>>;

struct Network {
  std::unordered_map<Ip, WorkloadPtr> workloads;
  VipIndex vips;
};

// Of several workloads on one address (contract/ztunnel.md §4): a pod in the mesh, a pod, one in the mesh.
int rank(const Workload& workload) {
  bool pod = workload.uid.contains("//Pod/");
  return (pod ? 2 : 0) + (workload.protocol == Tunnel::hbone ? 1 : 0);
}

template <class Map, class Key>
auto find(const Map& map, const Key& key) -> const typename Map::mapped_type* {
  auto at = map.find(key);
  return at == map.end() ? nullptr : &at->second;
}

std::string joined(std::string_view a, std::string_view b) { return fmt::format("{}/{}", a, b); }

}  // namespace

struct Snapshot::Index {
  std::vector<WorkloadPtr> workloads;
  std::vector<ServicePtr> services;
  std::vector<AuthorizationPtr> policies;
  ByText<Network> networks;
  ByText<WorkloadPtr> by_uid;
  ByText<WorkloadPtr> by_name;                  // "ns/name/sa"
  ByText<WorkloadPtr> by_hostname;              // "ns/hostname"
  ByText<ServicePtr> by_key;                    // "ns/hostname"
  ByText<std::vector<ServicePtr>> of_hostname;  // hostname
  ByText<std::vector<Endpoint>> endpoints;      // service key
  std::vector<AuthorizationPtr> global;
  ByText<std::vector<AuthorizationPtr>> of_namespace;
  ByText<AuthorizationPtr> by_policy_key;
  ByText<std::map<uint16_t, HttpRoutes>> routes;
  ByText<std::map<uint16_t, TcpRoutes>> tcp_routes;
  ByText<std::vector<L7PolicyPtr>> service_policies, gateway_policies;
  std::vector<L7PolicyPtr> class_policies;
  Attached<policy::JwtRulePtr> jwt_rules;
  std::string trust_domain, root_namespace, access_log_file;

  void add(Workload from);
  void add(Service from);
  void add(policy::Authorization from);
  void add_endpoints(const WorkloadPtr& workload);
};

void Snapshot::Index::add(Workload from) {
  WorkloadPtr workload = std::make_shared<const Workload>(std::move(from));
  workloads.push_back(workload);
  by_uid[workload->uid] = workload;
  by_name[fmt::format("{}/{}/{}", workload->ns, workload->name, workload->service_account)] = workload;
  if (!workload->hostname.empty()) by_hostname[joined(workload->ns, workload->hostname)] = workload;
  if (workload->network_mode == NetworkMode::host_network) return;
  Network& network = networks[workload->network];
  for (const Ip& ip : workload->addresses) {
    WorkloadPtr& there = network.workloads[ip];
    if (there == nullptr || rank(*workload) >= rank(*there)) there = workload;
  }
}

void Snapshot::Index::add(Service from) {
  ServicePtr service = std::make_shared<const Service>(std::move(from));
  services.push_back(service);
  by_key[service->key()] = service;
  of_hostname[service->hostname].push_back(service);
  for (const NetworkAddress& vip : service->vips) networks[vip.network].vips.add(vip.ip, service);
  for (const NetworkCidr& vip : service->cidr_vips) networks[vip.network].vips.add(vip.cidr, service);
}

void Snapshot::Index::add(policy::Authorization from) {
  AuthorizationPtr policy = std::make_shared<const policy::Authorization>(std::move(from));
  policies.push_back(policy);
  by_policy_key[policy->key()] = policy;
  switch (policy->scope) {
    case policy::Authorization::Scope::global:
      global.push_back(policy);
      break;
    case policy::Authorization::Scope::ns:
      of_namespace[policy->ns].push_back(policy);
      break;
    case policy::Authorization::Scope::workload_selector:
      break;  // found by name
  }
}

void Snapshot::Index::add_endpoints(const WorkloadPtr& workload) {
  for (const auto& [key, ports] : workload->services) {
    const ServicePtr* service = find(by_key, key);
    if (service == nullptr) continue;
    const std::optional<LoadBalancer>& lb = (*service)->load_balancer;
    bool all = lb && lb->health_policy == LoadBalancer::HealthPolicy::allow_all;
    if (all || workload->status == Health::healthy) endpoints[key].push_back({workload, &ports});
  }
}

std::shared_ptr<const Snapshot> Snapshot::build(Mesh mesh) {
  auto index = std::make_shared<Index>();
  std::ranges::sort(mesh.workloads, {}, &Workload::uid);
  std::ranges::sort(mesh.services, {}, [](const Service& s) { return std::pair(s.hostname, s.ns); });
  std::ranges::sort(mesh.policies, {}, &policy::Authorization::key);
  for (Service& service : mesh.services) index->add(std::move(service));
  for (Workload& workload : mesh.workloads) index->add(std::move(workload));
  for (policy::Authorization& policy : mesh.policies) index->add(std::move(policy));
  for (const WorkloadPtr& workload : index->workloads) index->add_endpoints(workload);
  auto move_all = [](auto& from, auto& to) {
    for (auto& [key, value] : from) to.emplace(key, std::move(value));
  };
  move_all(mesh.routes, index->routes);
  move_all(mesh.tcp_routes, index->tcp_routes);
  move_all(mesh.service_policies, index->service_policies);
  move_all(mesh.gateway_policies, index->gateway_policies);
  index->class_policies = std::move(mesh.waypoint_class_policies);
  index->jwt_rules = std::move(mesh.jwt_rules);
  index->trust_domain = std::move(mesh.trust_domain);
  index->root_namespace = std::move(mesh.root_namespace);
  index->access_log_file = std::move(mesh.access_log_file);
  auto snapshot = std::shared_ptr<Snapshot>(new Snapshot());
  snapshot->index_ = std::move(index);
  return snapshot;
}

WorkloadPtr Snapshot::workload_by_ip(std::string_view network, const Ip& ip) const {
  const Network* found = find(index_->networks, network);
  const WorkloadPtr* workload = found ? find(found->workloads, ip) : nullptr;
  return workload ? *workload : nullptr;
}

WorkloadPtr Snapshot::workload_by_uid(std::string_view uid) const {
  const WorkloadPtr* workload = find(index_->by_uid, uid);
  return workload ? *workload : nullptr;
}

WorkloadPtr Snapshot::workload_by_name(std::string_view name, std::string_view ns,
                                       std::string_view sa) const {
  const WorkloadPtr* workload = find(index_->by_name, fmt::format("{}/{}/{}", ns, name, sa));
  return workload ? *workload : nullptr;
}

WorkloadPtr Snapshot::workload_by_hostname(std::string_view ns, std::string_view hostname) const {
  const WorkloadPtr* workload = find(index_->by_hostname, joined(ns, hostname));
  return workload ? *workload : nullptr;
}

ServicePtr Snapshot::service_by_vip(std::string_view network, const Ip& ip,
                                    std::string_view client_ns) const {
  const Network* found = find(index_->networks, network);
  return found ? found->vips.find(ip, client_ns) : nullptr;
}

ServicePtr Snapshot::service(std::string_view ns, std::string_view hostname) const {
  const ServicePtr* service = find(index_->by_key, joined(ns, hostname));
  return service ? *service : nullptr;
}

ServicePtr Snapshot::service_by_hostname(std::string_view hostname, std::string_view client_ns) const {
  const std::vector<ServicePtr>* all = find(index_->of_hostname, hostname);
  return all ? best_of(*all, client_ns) : nullptr;
}

std::span<const Endpoint> Snapshot::endpoints(const Service& service) const {
  const std::vector<Endpoint>* all = find(index_->endpoints, service.key());
  return all ? std::span<const Endpoint>(*all) : std::span<const Endpoint>();
}

std::vector<AuthorizationPtr> Snapshot::policies_for(const Workload& workload,
                                                     std::vector<std::string>* unknown) const {
  std::vector<AuthorizationPtr> out = index_->global;
  if (const auto* own = find(index_->of_namespace, workload.ns))
    out.insert(out.end(), own->begin(), own->end());
  for (const std::string& key : workload.authorization_policies) {
    const AuthorizationPtr* policy = find(index_->by_policy_key, key);
    if (policy == nullptr) {
      if (unknown != nullptr) unknown->push_back(key);
    } else if (std::ranges::find(out, *policy) == out.end()) {
      out.push_back(*policy);
    }
  }
  return out;
}

const HttpRoutes* Snapshot::routes(std::string_view service_key, uint16_t service_port) const {
  const std::map<uint16_t, HttpRoutes>* ports = find(index_->routes, service_key);
  return ports ? find(*ports, service_port) : nullptr;
}

const TcpRoutes* Snapshot::tcp_routes(std::string_view service_key, uint16_t service_port) const {
  const std::map<uint16_t, TcpRoutes>* ports = find(index_->tcp_routes, service_key);
  return ports ? find(*ports, service_port) : nullptr;
}

std::vector<L7PolicyPtr> Snapshot::l7_policies(std::string_view service_key, std::string_view gateway) const {
  std::vector<L7PolicyPtr> out = index_->class_policies;
  for (const std::vector<L7PolicyPtr>* more :
       {find(index_->gateway_policies, gateway), find(index_->service_policies, service_key)})
    if (more != nullptr) out.insert(out.end(), more->begin(), more->end());
  return out;
}

std::span<const WorkloadPtr> Snapshot::workloads() const { return index_->workloads; }
std::span<const ServicePtr> Snapshot::services() const { return index_->services; }
std::span<const AuthorizationPtr> Snapshot::policies() const { return index_->policies; }
const Attached<policy::JwtRulePtr>& Snapshot::jwt_rules() const { return index_->jwt_rules; }

const std::string& Snapshot::trust_domain() const { return index_->trust_domain; }
const std::string& Snapshot::root_namespace() const { return index_->root_namespace; }
const std::string& Snapshot::access_log_file() const { return index_->access_log_file; }

}  // namespace ambientd::config
