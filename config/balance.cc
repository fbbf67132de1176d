// SPDX-License-Identifier: Apache-2.0
#include "config/balance.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace ambientd::config {
namespace {

using Scope = LoadBalancer::Scope;

bool same(Scope scope, const Workload& a, const Workload& b) {
  switch (scope) {
    case Scope::region:
      return a.locality.region == b.locality.region;
    case Scope::zone:
      return a.locality.zone == b.locality.zone;
    case Scope::subzone:
      return a.locality.subzone == b.locality.subzone;
    case Scope::node:
      return a.node == b.node;
    case Scope::cluster:
      return a.cluster_id == b.cluster_id;
    case Scope::network:
      return a.network == b.network;
  }
  return false;
}

// How near `to` is to `client`: the number of preferences that match in order, up to the first that does not.
// A leading `network` only ever adds: an endpoint elsewhere is still ranked by the rest, but always behind
// those of the own network. Nothing: mode strict leaves it out.
std::optional<size_t> rank(const LoadBalancer& balancer, const Workload& client, const Workload& to) {
  const std::vector<Scope>& wanted = balancer.routing_preferences;
  size_t matched = 0, bonus = 0;
  for (size_t i = 0; i < wanted.size(); ++i) {
    bool leading_network = i == 0 && wanted[i] == Scope::network;
    if (same(wanted[i], client, to)) {
      ++matched;
      if (leading_network) bonus = wanted.size() - 1;
    } else if (!leading_network) {
      break;
    }
  }
  if (balancer.mode == LoadBalancer::Mode::strict && matched != wanted.size()) return {};
  return matched + bonus;
}

bool reachable(const Workload& to, const Workload& client) {
  if (!to.addresses.empty() || !to.hostname.empty()) return true;
  return to.network != client.network && to.network_gateway.has_value();
}

bool healthy(const Service& service, const Workload& to) {
  if (to.status == Health::healthy) return true;
  return service.load_balancer &&
         service.load_balancer->health_policy == LoadBalancer::HealthPolicy::allow_all;
}

struct Candidates {
  const Service& service;
  uint16_t service_port;
  const Workload& client;
  Purpose purpose;

  // The endpoint's rank, if it can be chosen at all.
  std::optional<size_t> consider(const Endpoint& endpoint) const {
    const Workload& to = *endpoint.workload;
    if (!healthy(service, to) || !reachable(to, client)) return {};
    if (!endpoint_port(service, endpoint, service_port, purpose)) return {};
    const std::optional<LoadBalancer>& balancer = service.load_balancer;
    if (!balancer || balancer->mode == LoadBalancer::Mode::standard) return 0;
    return rank(*balancer, client, to);
  }
};

bool allowed(const Ip& ip, IpFamilies families) {
  if (families == IpFamilies::ipv4) return !ip.v6;
  if (families == IpFamilies::ipv6) return ip.v6;
  return true;
}

}  // namespace

std::optional<uint16_t> endpoint_port(const Service& service, const Endpoint& endpoint, uint16_t service_port,
                                      Purpose purpose) {
  if (endpoint.ports) {
    auto own = endpoint.ports->find(service_port);
    if (own != endpoint.ports->end() && own->second != 0) return own->second;
  }
  auto port = service.ports.find(service_port);
  if (port != service.ports.end() && port->second.target != 0) return port->second.target;
  const std::optional<ApplicationTunnel>& tunnel = endpoint.workload->application_tunnel;
  if (purpose == Purpose::waypoint && tunnel && tunnel->port) return service_port;
  return {};
}

std::optional<Choice> balance(const Snapshot& snapshot, const Service& service, uint16_t service_port,
                              const Workload& client, Purpose purpose, uint64_t random) {
  if (purpose == Purpose::traffic && !service.ports.contains(service_port)) return {};
  Candidates candidates{service, service_port, client, purpose};
  std::span<const Endpoint> endpoints = snapshot.endpoints(service);
  size_t best = 0;
  uint64_t weight = 0;
  for (const Endpoint& each : endpoints) {
    std::optional<size_t> rank = candidates.consider(each);
    if (!rank || *rank < best) continue;
    if (*rank > best) weight = 0;
    best = *rank;
    weight += each.workload->capacity;
  }
  if (weight == 0) return {};
  uint64_t at = random % weight;
  for (const Endpoint& each : endpoints) {
    if (candidates.consider(each) != best) continue;
    if (at < each.workload->capacity)
      return Choice{each.workload, *endpoint_port(service, each, service_port, purpose)};
    at -= each.workload->capacity;
  }
  return {};
}

Result<Ip> destination_ip(const Workload& workload, const Ip& target, IpFamilies families) {
  const std::vector<Ip>& has = workload.addresses;
  if (std::ranges::find(has, target) != has.end()) return target;
  const Ip* first = nullptr;
  for (const Ip& each : has) {
    if (!allowed(each, families)) continue;
    if (each.v6 == target.v6) return each;
    if (!first) first = &each;
  }
  if (first) return *first;
  return fail(no_destination(workload));
}

const GatewayAddress* service_waypoint(const Service& service, uint64_t random) {
  uint64_t weight = 0;
  for (const WeightedWaypoint& each : service.weighted_waypoints) weight += each.weight;
  if (weight == 0) return service.waypoint ? &*service.waypoint : nullptr;
  uint64_t at = random % weight;
  for (const WeightedWaypoint& each : service.weighted_waypoints) {
    if (at < each.weight) return &each.destination;
    at -= each.weight;
  }
  return nullptr;
}

Error no_destination(const Workload& workload) {
  return {Errc::no_destination,
          fmt::format("no valid routing destination for workload: Workload{{{} with uid {} ({})}}",
                      workload.name, workload.uid, workload.protocol == Tunnel::hbone ? "HBONE" : "TCP")};
}

}  // namespace ambientd::config
