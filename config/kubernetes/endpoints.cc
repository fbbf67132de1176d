// SPDX-License-Identifier: Apache-2.0
// Workloads that are neither pods nor WorkloadEntries: endpoints written inside a ServiceEntry, the hosts of
// one that is resolved by DNS, and the addresses of an EndpointSlice (contract/kubernetes.md §3, §4).
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "config/kubernetes/derive.h"

namespace ambientd::config::kubernetes {
namespace {

// The hosts of an entry that are its own after services of one name were sorted out.
std::vector<std::string> hosts_of(const World& world, const ServiceEntry& entry) {
  std::vector<std::string> out;
  auto hosts = world.hosts.find(entry.meta.ns);
  if (hosts == world.hosts.end()) return out;
  for (const Host& host : hosts->second)
    if (host.entry == &entry) out.push_back(host.key);
  return out;
}

PortMap ports_of(const ServiceEntry& entry, const MeshEndpoint& endpoint) {
  PortMap out;
  for (const ServicePort& port : entry.ports) {
    auto named = endpoint.ports.find(port.name);
    out.emplace(port.port, named == endpoint.ports.end() ? port.target : named->second);
  }
  return out;
}

// An endpoint's labels are its own and its ServiceEntry's, which win, as with a WorkloadEntry: a policy that
// selects either binds it.
Labels labels_of(const ServiceEntry& entry, const MeshEndpoint& endpoint) {
  Labels out = entry.meta.labels;
  out.insert(endpoint.labels.begin(), endpoint.labels.end());
  return out;
}

Workload start_workload(const World& world, const ServiceEntry& entry, std::string_view address,
                        Labels labels) {
  Workload out;
  out.uid = fmt::format("{}/networking.istio.io/ServiceEntry/{}/{}", kClusterId, entry.meta.key(), address);
  out.name = out.workload_name = entry.meta.name;
  out.ns = entry.meta.ns;
  if (std::optional<Ip> ip = Ip::parse(address))
    out.addresses = {*ip};
  else
    out.hostname = address;
  out.network = world.network;
  out.trust_domain = world.mesh.trust_domain;
  out.workload_type = WorkloadType::pod;
  out.cluster_id = kClusterId;
  set_canonical(labels, &out);
  set_tunnel(entry.meta, labels, &out);
  out.authorization_policies = policies_of(world, out.ns, labels);
  out.labels = std::move(labels);
  return out;
}

Workload make_workload(const World& world, const ServiceEntry& entry, const MeshEndpoint& endpoint) {
  Workload out = start_workload(world, entry, endpoint.address, labels_of(entry, endpoint));
  if (endpoint.network) out.network = *endpoint.network;
  out.service_account = endpoint.service_account;
  out.locality = endpoint.locality;
  if (endpoint.weight > 0) out.capacity = endpoint.weight;
  bind_waypoint(world, entry.meta, endpoint.labels, &out);
  auto gateway = world.network_gateways.find(out.network);
  if (gateway != world.network_gateways.end()) out.network_gateway = gateway->second;
  return out;
}

bool resolves_its_hosts(const ServiceEntry& entry) {
  return entry.endpoints.empty() && !entry.has_selector && entry.resolution != Resolution::none &&
         entry.resolution != Resolution::fixed;
}

void add_written_endpoints(World& world, const ServiceEntry& entry, const std::vector<std::string>& hosts) {
  std::set<std::string> seen;
  for (const MeshEndpoint& endpoint : entry.endpoints) {
    if (!seen.insert(endpoint.address).second) {
      world.report(Severity::error, entry.meta,
                   fmt::format("has two endpoints of address {}", endpoint.address), endpoint.line);
      continue;
    }
    Workload workload = make_workload(world, entry, endpoint);
    for (const std::string& host : hosts) workload.services.emplace(host, ports_of(entry, endpoint));
    world.mesh.workloads.push_back(std::move(workload));
  }
}

void add_host_endpoint(World& world, const ServiceEntry& entry, const std::string& key) {
  Workload workload = start_workload(world, entry, key.substr(entry.meta.ns.size() + 1), entry.meta.labels);
  workload.services.emplace(key, ports_of(entry, {}));
  world.mesh.workloads.push_back(std::move(workload));
}

// A slice's port belongs to the service port of the same name.
PortMap ports_of(const EndpointSlice& slice, const Service& service) {
  PortMap out;
  for (const ServicePort& port : service.ports) {
    auto at = std::ranges::find(slice.ports, port.name, &NamedPort::name);
    if (at != slice.ports.end()) out.emplace(port.port, at->port);
  }
  return out;
}

Workload make_workload(const World& world, const EndpointSlice& slice, const SliceEndpoint& endpoint) {
  Workload out;
  out.uid = fmt::format("{}/discovery.k8s.io/EndpointSlice/{}/{}", kClusterId, slice.meta.key(),
                        endpoint.addresses.front().str());
  out.name = slice.meta.name;
  out.ns = slice.meta.ns;
  out.addresses = endpoint.addresses;
  out.network = world.network;
  out.network_mode = NetworkMode::host_network;
  out.trust_domain = world.mesh.trust_domain;
  out.cluster_id = kClusterId;
  out.status = endpoint.ready ? Health::healthy : Health::unhealthy;
  return out;
}

const Host* host_of(const World& world, const EndpointSlice& slice) {
  auto hosts = world.hosts.find(slice.meta.ns);
  if (slice.service.empty() || hosts == world.hosts.end()) return nullptr;
  std::string key = slice.meta.ns + "/" + service_hostname(slice.service, slice.meta.ns);
  auto at = std::ranges::find(hosts->second, key, &Host::key);
  return at == hosts->second.end() || at->service == nullptr ? nullptr : &*at;
}

}  // namespace

void derive_entry_endpoints(World& world) {
  for (const ServiceEntry& entry : world.objects.service_entries) {
    std::vector<std::string> hosts = hosts_of(world, entry);
    if (hosts.empty()) continue;
    add_written_endpoints(world, entry, hosts);
    if (!resolves_its_hosts(entry)) continue;
    for (const std::string& host : hosts) add_host_endpoint(world, entry, host);
  }
}

void derive_slice_endpoints(World& world) {
  for (const EndpointSlice& slice : world.objects.slices) {
    const Host* host = host_of(world, slice);
    std::set<Ip> seen;
    for (const SliceEndpoint& endpoint : slice.endpoints) {
      if (host == nullptr || endpoint.is_pod || endpoint.addresses.empty()) continue;
      if (!seen.insert(endpoint.addresses.front()).second) continue;
      Workload workload = make_workload(world, slice, endpoint);
      workload.services.emplace(host->key, ports_of(slice, *host->service));
      world.mesh.workloads.push_back(std::move(workload));
    }
  }
}

}  // namespace ambientd::config::kubernetes
