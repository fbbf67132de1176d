// SPDX-License-Identifier: Apache-2.0
// Services of the model out of Kubernetes Services and ServiceEntries (contract/kubernetes.md §5).
#include <fmt/format.h>

#include <algorithm>

#include "config/kubernetes/derive.h"
#include "core/text.h"

namespace ambientd::config::kubernetes {
namespace {

using Scope = LoadBalancer::Scope;
using Mode = LoadBalancer::Mode;

Distribution parse_distribution(const std::string* annotation) {
  if (annotation == nullptr || annotation->empty()) return Distribution::unset;
  std::string word = to_lower(*annotation);
  if (word == "preferclose" || word == "prefersamezone") return Distribution::same_zone;
  if (word == "prefersamenode") return Distribution::same_node;
  return Distribution::any;
}

// The object's own field, then its annotation, then its namespace's.
Distribution distribution_of(const World& world, const Meta& meta, Distribution from_spec) {
  constexpr std::string_view kKey = "networking.istio.io/traffic-distribution";
  if (from_spec != Distribution::unset) return from_spec;
  Distribution own = parse_distribution(lookup(meta.annotations, kKey));
  if (own != Distribution::unset) return own;
  auto ns = world.namespaces.find(meta.ns);
  if (ns == world.namespaces.end()) return own;
  return parse_distribution(lookup(ns->second->meta.annotations, kKey));
}

std::optional<LoadBalancer> balancer_for(Distribution distribution) {
  switch (distribution) {
    case Distribution::unset:
    case Distribution::any:
      return {};
    case Distribution::same_zone:
      return LoadBalancer{Mode::failover, {Scope::network, Scope::region, Scope::zone}};
    case Distribution::same_node:
      return LoadBalancer{Mode::failover,
                          {Scope::network, Scope::region, Scope::zone, Scope::subzone, Scope::node}};
  }
  return {};
}

std::optional<LoadBalancer> balancer_of(const World& world, const Service& service) {
  std::optional<LoadBalancer> out;
  if (service.local_only)
    out = LoadBalancer{Mode::strict, {Scope::node}};
  else
    out = balancer_for(distribution_of(world, service.meta, service.distribution));
  if (!service.publish_not_ready) return out;
  if (!out) out.emplace();
  out->health_policy = LoadBalancer::HealthPolicy::allow_all;
  return out;
}

std::optional<LoadBalancer> balancer_of(const World& world, const ServiceEntry& entry) {
  if (entry.resolution != Resolution::none)
    return balancer_for(distribution_of(world, entry.meta, Distribution::unset));
  return LoadBalancer{Mode::passthrough, {}, LoadBalancer::HealthPolicy::allow_all};
}

bool says_true(const std::string& text) {  // Go's ParseBool
  return text == "1" || text == "t" || text == "T" || text == "true" || text == "TRUE" || text == "True";
}

bool ingress_uses_waypoint(const World& world, const Meta& meta) {
  constexpr std::string_view kLabel = "istio.io/ingress-use-waypoint";
  if (const std::string* own = lookup(meta.labels, kLabel)) return says_true(*own);
  const Labels* ns = world.namespace_labels(meta.ns);
  return ns != nullptr && says_true(lookup_or(*ns, kLabel, ""));
}

// A number may serve TCP and UDP: then TCP, the one the mesh carries, is kept.
void add_ports(const std::vector<ServicePort>& ports, config::Service* out) {
  for (const ServicePort& port : ports) {
    config::ServicePort made{port.target, port.protocol, port.name};
    auto [at, fresh] = out->ports.emplace(port.port, made);
    if (!fresh && at->second.protocol == AppProtocol::udp) at->second = made;
  }
}

void bind(const World& world, const Meta& meta, config::Service* out) {
  bind_waypoint(world, meta, out);
  out->ingress_use_waypoint = out->waypoint.has_value() && ingress_uses_waypoint(world, meta);
}

config::Service make_service(const World& world, const Service& from) {
  config::Service out;
  out.name = from.meta.name;
  out.ns = from.meta.ns;
  out.hostname = service_hostname(from.meta.name, from.meta.ns);
  for (const Ip& ip : from.cluster_ips) out.vips.push_back({world.network, ip});
  add_ports(from.ports, &out);
  out.load_balancer = balancer_of(world, from);
  out.ip_families = from.ip_families;
  bind(world, from.meta, &out);
  return out;
}

void add_address(const World& world, const Cidr& cidr, config::Service* out) {
  if (cidr.length == cidr.ip.bits())
    out->vips.push_back({world.network, cidr.ip});
  else
    out->cidr_vips.push_back({world.network, cidr});
}

// Addresses the control plane allocated for one host, from status; a file without them gives no VIP.
void add_allocated(const World& world, const ServiceEntry& entry, const std::string& host,
                   config::Service* out) {
  bool wildcard = host.contains('*') && entry.resolution != Resolution::dynamic_dns;
  std::string enabled = lookup_or(entry.meta.labels, "networking.istio.io/enable-autoallocate-ip", "");
  if (wildcard || entry.resolution == Resolution::none || equals_ignore_case(enabled, "false")) return;
  for (const auto& [name, ip] : entry.allocated)
    if (name == host) out->vips.push_back({world.network, ip});
}

config::Service make_service(const World& world, const ServiceEntry& from, const std::string& host) {
  config::Service out;
  out.name = from.meta.name;
  out.ns = from.meta.ns;
  out.hostname = host;
  for (const Cidr& cidr : from.addresses) add_address(world, cidr, &out);
  if (from.addresses.empty()) add_allocated(world, from, host, &out);
  add_ports(from.ports, &out);
  out.subject_alt_names = from.subject_alt_names;
  out.load_balancer = balancer_of(world, from);
  bind(world, from.meta, &out);
  return out;
}

struct Candidate {
  config::Service made;
  Host host;
  bool older_than(const Candidate& other) const {
    const Meta &a = host.entry->meta, &b = other.host.entry->meta;
    return std::tie(a.created, a.ns, a.name) < std::tie(b.created, b.ns, b.name);
  }
};

// A Kubernetes Service beats any ServiceEntry of its hostname; of ServiceEntries the oldest counts.
bool beats(const Candidate& a, const Candidate& b) {
  if ((a.host.service != nullptr) != (b.host.service != nullptr)) return a.host.service != nullptr;
  return a.host.service == nullptr && a.older_than(b);
}

std::map<std::string, Candidate> winners(const World& world) {  // by "ns/hostname"
  std::map<std::string, Candidate> out;
  auto offer = [&](Candidate next) {
    next.host.key = next.made.key();
    auto [at, fresh] = out.emplace(next.host.key, next);
    if (!fresh && beats(next, at->second)) at->second = std::move(next);
  };
  for (const Service& service : world.objects.services)
    if (!service.external_name) offer({make_service(world, service), {{}, &service, nullptr}});
  for (const ServiceEntry& entry : world.objects.service_entries)
    for (const std::string& host : entry.hosts)
      offer({make_service(world, entry, host), {{}, nullptr, &entry}});
  return out;
}

}  // namespace

void derive_services(World& world) {
  std::map<std::string, Candidate> chosen = winners(world);
  std::map<std::string, Candidate*> canonical;  // by hostname
  for (auto& [key, candidate] : chosen) {
    Candidate*& best = canonical[candidate.made.hostname];
    if (best == nullptr || beats(candidate, *best)) best = &candidate;
  }
  for (auto& [hostname, candidate] : canonical) candidate->made.canonical = true;
  for (auto& [key, candidate] : chosen) {
    world.hosts[candidate.made.ns].push_back(candidate.host);
    world.mesh.services.push_back(std::move(candidate.made));
  }
}

}  // namespace ambientd::config::kubernetes
