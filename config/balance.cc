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

struct Place {
  Standing standing = Standing::in;
  size_t rank = 0;  // higher is nearer
};

struct Balancing {
  const Service& service;
  uint16_t service_port;
  const Workload& client;
  Purpose purpose;
  Tried tried;

  // The endpoint by itself; whether somebody is nearer shows only when all have been looked at.
  Place consider(const Endpoint& endpoint) const {
    const Workload& to = *endpoint.workload;
    if (!healthy(service, to)) return {Standing::unhealthy};
    if (!reachable(to, client)) return {Standing::unreachable};
    if (!endpoint_port(service, endpoint, service_port, purpose)) return {Standing::no_port};
    if (contains(tried, to)) return {Standing::tried};
    if (to.capacity == 0) return {Standing::weightless};
    const std::optional<LoadBalancer>& balancer = service.load_balancer;
    if (!balancer || balancer->mode == LoadBalancer::Mode::standard) return {};
    std::optional<size_t> near = rank(*balancer, client, to);
    return near ? Place{Standing::in, *near} : Place{Standing::too_far};
  }
};

bool allowed(const Ip& ip, IpFamilies families) {
  if (families == IpFamilies::ipv4) return !ip.v6;
  if (families == IpFamilies::ipv6) return ip.v6;
  return true;
}

}  // namespace

bool contains(Tried tried, const Workload& workload) {
  return std::ranges::any_of(tried, [&](const WorkloadPtr& each) { return each->uid == workload.uid; });
}

std::string_view text(Standing standing) {
  switch (standing) {
    case Standing::in:
      return "can be chosen";
    case Standing::unhealthy:
      return "not healthy";
    case Standing::unreachable:
      return "has neither an address nor a network gateway";
    case Standing::no_port:
      return "has nothing behind the service port";
    case Standing::tried:
      return "tried and failed";
    case Standing::too_far:
      return "not where mode strict wants it";
    case Standing::farther:
      return "another one is nearer";
    case Standing::weightless:
      return "has capacity 0";
  }
  return "";
}

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
                              const Workload& client, Purpose purpose, uint64_t random, Tried tried) {
  if (purpose == Purpose::traffic && !service.ports.contains(service_port)) return {};
  Balancing balancing{service, service_port, client, purpose, tried};
  std::span<const Endpoint> endpoints = snapshot.endpoints(service);
  size_t best = 0;
  uint64_t weight = 0;
  for (const Endpoint& each : endpoints) {
    Place place = balancing.consider(each);
    if (place.standing != Standing::in || place.rank < best) continue;
    if (place.rank > best) weight = 0;
    best = place.rank;
    weight += each.workload->capacity;
  }
  if (weight == 0) return {};
  uint64_t at = random % weight;
  for (const Endpoint& each : endpoints) {
    Place place = balancing.consider(each);
    if (place.standing != Standing::in || place.rank != best) continue;
    if (at < each.workload->capacity)
      return Choice{each.workload, *endpoint_port(service, each, service_port, purpose)};
    at -= each.workload->capacity;
  }
  return {};
}

std::vector<Candidate> candidates(const Snapshot& snapshot, const Service& service, uint16_t service_port,
                                  const Workload& client, Purpose purpose, Tried tried) {
  Balancing balancing{service, service_port, client, purpose, tried};
  bool has_port = purpose != Purpose::traffic || service.ports.contains(service_port);
  std::vector<Candidate> out;
  std::vector<size_t> ranks;
  size_t best = 0;
  for (const WorkloadPtr& workload : snapshot.workloads()) {
    auto ports = workload->services.find(service.key());
    if (ports == workload->services.end()) continue;
    Endpoint endpoint{workload, &ports->second};
    Place place = has_port ? balancing.consider(endpoint) : Place{Standing::no_port};
    uint16_t port = endpoint_port(service, endpoint, service_port, purpose).value_or(0);
    out.push_back({workload, place.standing == Standing::in ? port : uint16_t{0}, place.standing});
    ranks.push_back(place.rank);
    if (place.standing == Standing::in) best = std::max(best, place.rank);
  }
  uint64_t weight = 0;
  for (size_t i = 0; i < out.size(); ++i) {
    Candidate& each = out[i];
    if (each.standing != Standing::in) continue;
    if (ranks[i] < best) {
      each = {each.workload, 0, Standing::farther};
      continue;
    }
    each.draw = weight;
    weight += each.workload->capacity;
  }
  return out;
}

Result<Ip> destination_ip(const Workload& workload, const Ip& target, IpFamilies families) {
  return resolved_ip(workload, workload.addresses, target, families);
}

Result<Ip> resolved_ip(const Workload& workload, std::span<const Ip> has, const Ip& target,
                       IpFamilies families) {
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
