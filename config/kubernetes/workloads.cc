// SPDX-License-Identifier: Apache-2.0
// Workloads out of Pods and WorkloadEntries (contract/kubernetes.md §1, §2).
#include <fmt/format.h>

#include <algorithm>

#include "config/kubernetes/derive.h"

namespace ambientd::config::kubernetes {
namespace {

std::optional<uint16_t> container_port(const Pod& pod, std::string_view name) {
  auto at = std::ranges::find(pod.tcp_ports, name, &NamedPort::name);
  return at == pod.tcp_ports.end() ? std::nullopt : std::optional(at->port);
}

std::optional<uint16_t> entry_port(const MeshEndpoint& endpoint, const std::string& name) {
  auto at = endpoint.ports.find(name);
  return at == endpoint.ports.end() ? std::nullopt : std::optional(at->second);
}

// Where one service port goes on a pod; nothing: this endpoint does not serve it.
std::optional<uint16_t> target_on(const Pod& pod, const Host& host, const ServicePort& port) {
  if (host.service != nullptr) return port.target != 0 ? port.target : container_port(pod, port.target_name);
  return container_port(pod, port.name).value_or(port.target);
}

std::optional<uint16_t> target_on(const WorkloadEntry& entry, const Host& host, const ServicePort& port) {
  if (host.service != nullptr && port.target == 0) return entry_port(entry.endpoint, port.target_name);
  return entry_port(entry.endpoint, port.name).value_or(port.target);
}

template <class Endpoint>
PortMap ports_on(const Endpoint& endpoint, const Host& host) {
  PortMap out;
  for (const ServicePort& port : host.ports())
    if (port.protocol != AppProtocol::udp || !out.contains(port.port))
      if (std::optional<uint16_t> target = target_on(endpoint, host, port)) out[port.port] = *target;
  return out;
}

template <class Endpoint>
void select_services(const World& world, const Endpoint& endpoint, const Labels& labels, Workload* out) {
  auto hosts = world.hosts.find(out->ns);
  if (hosts == world.hosts.end()) return;
  for (const Host& host : hosts->second)
    if (!host.selector().empty() && subset(host.selector(), labels))
      out->services.emplace(host.key, ports_on(endpoint, host));
}

// Services without a selector reach pods by an EndpointSlice that names the pod. Indexed by "ns/name".
using SlicedPods = std::multimap<std::string, std::pair<const EndpointSlice*, const SliceEndpoint*>>;

SlicedPods sliced_pods(const Objects& objects) {
  SlicedPods out;
  for (const EndpointSlice& slice : objects.slices)
    for (const SliceEndpoint& endpoint : slice.endpoints)
      if (endpoint.is_pod && !slice.service.empty())
        out.emplace(endpoint.pod_ns + "/" + endpoint.pod_name, std::pair(&slice, &endpoint));
  return out;
}

void add_sliced_services(const World& world, const SlicedPods& sliced, const Pod& pod, Workload* out) {
  auto [first, last] = sliced.equal_range(pod.meta.key());
  for (; first != last; ++first) {
    const auto& [slice, endpoint] = first->second;
    auto hosts = world.hosts.find(slice->meta.ns);
    if (endpoint->pod_uid != pod.meta.uid || hosts == world.hosts.end()) continue;
    std::string key = slice->meta.ns + "/" + service_hostname(slice->service, slice->meta.ns);
    auto host = std::ranges::find(hosts->second, key, &Host::key);
    if (host != hosts->second.end()) out->services.emplace(key, ports_on(pod, *host));
  }
}

Locality locality_of(const World& world, const std::string& node) {
  auto at = world.nodes.find(node);
  if (at == world.nodes.end()) return {};
  const Labels& labels = at->second->meta.labels;
  return {lookup_or(labels, "topology.kubernetes.io/region", ""),
          lookup_or(labels, "topology.kubernetes.io/zone", ""),
          lookup_or(labels, "topology.istio.io/subzone", "")};
}

// A waypoint's own instance is bound to no waypoint; it may want its traffic in another wrapping.
void bind(const World& world, const Pod& pod, Workload* out) {
  const std::string* name = lookup(pod.meta.labels, "gateway.networking.k8s.io/gateway-name");
  auto own = name ? world.waypoints.find(pod.meta.ns + "/" + *name) : world.waypoints.end();
  if (own != world.waypoints.end()) {
    out->application_tunnel = own->second.binding;
  } else {
    bind_waypoint(world, pod.meta, pod.meta.labels, out);
  }
}

void add_gateway(const World& world, Workload* out) {
  auto at = world.network_gateways.find(out->network);
  if (at != world.network_gateways.end()) out->network_gateway = at->second;
}

Workload make_workload(const World& world, const Pod& pod) {
  Workload out;
  out.uid = fmt::format("{}//Pod/{}", kClusterId, pod.meta.key());
  out.name = pod.meta.name;
  out.ns = pod.meta.ns;
  out.addresses = pod.ips;
  out.network = world.network;
  out.network_mode = pod.host_network ? NetworkMode::host_network : NetworkMode::standard;
  out.trust_domain = world.mesh.trust_domain;
  out.service_account = pod.service_account;
  out.node = pod.node;
  out.workload_type = WorkloadType::pod;
  out.workload_name = workload_name(pod);
  out.cluster_id = kClusterId;
  out.status = pod.ready ? Health::healthy : Health::unhealthy;
  out.locality = locality_of(world, pod.node);
  out.labels = pod.meta.labels;
  set_canonical(pod.meta.labels, &out);
  set_tunnel(pod.meta, pod.meta.labels, &out);
  bind(world, pod, &out);
  add_gateway(world, &out);
  return out;
}

Labels labels_of(const WorkloadEntry& entry) {  // metadata wins over spec
  Labels out = entry.meta.labels;
  out.insert(entry.endpoint.labels.begin(), entry.endpoint.labels.end());
  return out;
}

std::string name_of(const WorkloadEntry& entry, const Labels& labels) {
  if (const std::string* group = lookup(entry.meta.annotations, "istio.io/autoRegistrationGroup"))
    return *group;
  return lookup_or(labels, "service.istio.io/workload-name", entry.meta.name);
}

void set_address(const std::string& address, Workload* out) {
  if (std::optional<Ip> ip = Ip::parse(address))
    out->addresses = {*ip};
  else
    out->hostname = address;
}

Workload make_workload(const World& world, const WorkloadEntry& entry, Labels labels) {
  Workload out;
  out.uid = fmt::format("{}/networking.istio.io/WorkloadEntry/{}", kClusterId, entry.meta.key());
  out.name = entry.meta.name;
  out.ns = entry.meta.ns;
  set_address(entry.endpoint.address, &out);
  out.network = entry.endpoint.network.value_or(world.network);
  out.trust_domain = world.mesh.trust_domain;
  out.service_account = entry.endpoint.service_account;
  out.workload_type = WorkloadType::pod;
  out.workload_name = name_of(entry, labels);
  out.cluster_id = kClusterId;
  out.locality = entry.endpoint.locality;
  if (entry.endpoint.weight > 0) out.capacity = entry.endpoint.weight;
  set_canonical(labels, &out);
  set_tunnel(entry.meta, labels, &out);
  bind_waypoint(world, entry.meta, labels, &out);
  add_gateway(world, &out);
  out.labels = std::move(labels);
  return out;
}

}  // namespace

void derive_pods(World& world) {
  SlicedPods sliced = sliced_pods(world.objects);
  for (const Pod& pod : world.objects.pods) {
    if (pod.finished || pod.ips.empty()) continue;
    Workload workload = make_workload(world, pod);
    select_services(world, pod, pod.meta.labels, &workload);
    add_sliced_services(world, sliced, pod, &workload);
    workload.authorization_policies = policies_of(world, workload.ns, workload.labels);
    world.mesh.workloads.push_back(std::move(workload));
  }
}

void derive_workload_entries(World& world) {
  for (const WorkloadEntry& entry : world.objects.workload_entries) {
    Workload workload = make_workload(world, entry, labels_of(entry));
    select_services(world, entry, workload.labels, &workload);
    workload.authorization_policies = policies_of(world, workload.ns, workload.labels);
    world.mesh.workloads.push_back(std::move(workload));
  }
}

}  // namespace ambientd::config::kubernetes
