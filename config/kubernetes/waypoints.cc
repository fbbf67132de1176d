// SPDX-License-Identifier: Apache-2.0
// Which Gateways are waypoints, and who is bound to which (contract/kubernetes.md §6). A file needs no
// status: a waypoint's address is the hostname of the Service that carries its name. Where the control plane
// counts any addressed Gateway as a waypoint, we ask for a waypoint's class or listener.
#include <fmt/format.h>

#include <algorithm>

#include "config/kubernetes/derive.h"
#include "core/text.h"

namespace ambientd::config::kubernetes {
namespace {

constexpr uint16_t kHbonePort = 15008;

std::string controller_of(const World& world, const Gateway& gateway) {
  auto at = world.classes.find(gateway.class_name);
  if (at != world.classes.end()) return at->second->controller;
  return gateway.class_name == "istio-waypoint" ? "istio.io/mesh-controller" : "";
}

bool has_mesh_listener(const Gateway& gateway) {
  return std::ranges::any_of(gateway.listeners, [](const Listener& listener) {
    return listener.protocol == "HBONE" || listener.protocol == "istio.io/PROXY";
  });
}

// A label or annotation of the Gateway, else of its class.
std::string setting(const World& world, const Gateway& gateway, std::string_view key, Labels Meta::* where) {
  if (const std::string* value = lookup(gateway.meta.*where, key)) return *value;
  auto at = world.classes.find(gateway.class_name);
  return at == world.classes.end() ? "" : lookup_or(at->second->meta.*where, key, "");
}

Waypoint::For traffic_of(const World& world, const Gateway& gateway) {
  std::string word = setting(world, gateway, "istio.io/waypoint-for", &Meta::labels);
  if (word.empty() || word == "service") return Waypoint::For::service;
  if (word == "workload") return Waypoint::For::workload;
  if (word == "all") return Waypoint::For::all;
  if (word != "none")
    world.warn(gateway.meta, "label istio.io/waypoint-for must be service, workload, all or none");
  return Waypoint::For::none;
}

std::optional<GatewayAddress> to_address(const World& world, const Gateway& gateway,
                                         const GatewayAddressSpec& from) {
  if (from.hostname) {
    std::string host = from.value.contains('.') ? from.value : service_hostname(from.value, gateway.meta.ns);
    return GatewayAddress{NamespacedHostname{gateway.meta.ns, std::move(host)}, kHbonePort};
  }
  std::optional<Ip> ip = Ip::parse(from.value);
  if (!ip) return {};
  return GatewayAddress{NetworkAddress{world.network, *ip}, kHbonePort};
}

// The first hostname, else the first IP.
std::optional<GatewayAddress> pick_address(const World& world, const Gateway& gateway,
                                           const std::vector<GatewayAddressSpec>& from) {
  for (bool hostname : {true, false})
    for (const GatewayAddressSpec& address : from)
      if (address.hostname == hostname) return to_address(world, gateway, address);
  return {};
}

std::optional<GatewayAddress> address_of(const World& world, const Gateway& gateway) {
  if (!gateway.status_addresses.empty()) return pick_address(world, gateway, gateway.status_addresses);
  if (controller_of(world, gateway) != "istio.io/mesh-controller") return {};
  if (!gateway.spec_addresses.empty()) return pick_address(world, gateway, gateway.spec_addresses);
  std::string name = lookup_or(gateway.meta.annotations, "gateway.istio.io/name-override", gateway.meta.name);
  return GatewayAddress{NamespacedHostname{gateway.meta.ns, service_hostname(name, gateway.meta.ns)},
                        kHbonePort};
}

// `PROXY`, `PROXY/15088` or `NONE`: how an instance wants its traffic from the node's ztunnel.
std::optional<ApplicationTunnel> binding_of(const World& world, const Gateway& gateway) {
  std::string text = setting(world, gateway, "ambient.istio.io/waypoint-inbound-binding", &Meta::annotations);
  if (text.empty()) return {};
  std::vector<std::string_view> parts = split(text, '/');
  ApplicationTunnel out;
  std::optional<uint64_t> port = parts.size() == 2 ? parse_uint(parts[1]) : std::nullopt;
  bool good = (parts[0] == "PROXY" || parts[0] == "NONE") && (parts.size() == 1 || (port && *port <= 65535));
  if (!good || parts.size() > 2) {
    world.warn(gateway.meta,
               "annotation ambient.istio.io/waypoint-inbound-binding must be PROXY/port or NONE");
    return {};
  }
  if (parts[0] == "PROXY") out.protocol = ApplicationTunnel::Protocol::proxy;
  if (port && *port > 0) out.port = static_cast<uint16_t>(*port);
  return out;
}

const Listener* bound_listener(const Waypoint& waypoint) {
  const std::vector<Listener>& all = waypoint.gateway->listeners;
  auto at = std::ranges::find_if(all, [&](const Listener& listener) {
    if (!waypoint.binding) return listener.protocol == "HBONE" && listener.port == kHbonePort;
    if (waypoint.binding->port) return listener.port == *waypoint.binding->port;
    return listener.protocol == "istio.io/PROXY";
  });
  return at == all.end() ? nullptr : &*at;
}

bool may_attach(const World& world, const Waypoint& waypoint, std::string_view ns) {
  const Listener* listener = bound_listener(waypoint);
  Listener::From from = listener ? listener->from : Listener::From::same;
  switch (from) {
    case Listener::From::all:
      return true;
    case Listener::From::same:
      return waypoint.gateway->meta.ns == ns;
    case Listener::From::selector: {
      const Labels* labels = world.namespace_labels(ns);
      return labels != nullptr && subset(listener->allowed, *labels);
    }
  }
  return false;
}

// What one set of labels says. `said` is false when it says nothing; then the namespace is asked.
struct Wish {
  bool said = false;
  std::string key;  // "ns/name"; empty: wants none
};

Wish read_wish(const Labels& labels, std::string_view ns, std::string_view label, std::string_view ns_label) {
  const std::string* name = lookup(labels, label);
  if (name == nullptr) return {};
  if (*name == "none") return {true, ""};
  return {true, lookup_or(labels, ns_label, ns) + "/" + *name};
}

Wish wish_of(const World& world, const Meta& about, const Labels& labels, bool* inherited) {
  Wish wish = read_wish(labels, about.ns, "istio.io/use-waypoint", "istio.io/use-waypoint-namespace");
  *inherited = !wish.said;
  const Labels* ns = world.namespace_labels(about.ns);
  if (wish.said || ns == nullptr) return wish;
  return read_wish(*ns, about.ns, "istio.io/use-waypoint", "istio.io/use-waypoint-namespace");
}

// The waypoint of that name if it exists and lets us in; a warning otherwise.
const Waypoint* admit(const World& world, const Meta& about, const std::string& key) {
  auto at = world.waypoints.find(key);
  if (at == world.waypoints.end()) {
    world.warn(
        about,
        fmt::format(
            "wants waypoint {}, which does not exist: its traffic goes without L7 policy, or nowhere with "
            "--missing-waypoint=refuse",
            key));
    return nullptr;
  }
  if (may_attach(world, at->second, about.ns)) return &at->second;
  world.warn(about,
             fmt::format("wants waypoint {}, whose listener does not allow namespace {} (allowedRoutes)", key,
                         about.ns));
  return nullptr;
}

// What became of a wish: at most one of the two is set.
struct Bound {
  const Waypoint* to = nullptr;
  std::string missing;  // "ns/name"
  bool inherited = false;
};

Bound find_waypoint(const World& world, const Meta& about, const Labels& labels,
                    bool (Waypoint::*serves)() const) {
  Bound out;
  Wish wish = wish_of(world, about, labels, &out.inherited);
  if (wish.key.empty()) return out;
  out.to = admit(world, about, wish.key);
  if (out.to == nullptr) out.missing = wish.key;
  if (out.to == nullptr || (out.to->*serves)()) return out;
  if (!out.inherited)
    world.warn(about, fmt::format("wants waypoint {}, which is not for its kind of traffic", wish.key));
  out.to = nullptr;
  return out;
}

std::optional<uint32_t> canary_weight(const Meta& from) {
  std::optional<uint64_t> weight =
      parse_uint(lookup_or(from.annotations, "istio.io/use-waypoint-canary-weight", "0"));
  return weight && *weight <= 100 ? std::optional(static_cast<uint32_t>(*weight)) : std::nullopt;
}

// The object decides about a canary, or its namespace when the object names no waypoint itself.
std::vector<WeightedWaypoint> canary(const World& world, const Meta& about, const Waypoint& primary) {
  const Meta* from = &about;
  auto ns = world.namespaces.find(about.ns);
  if (lookup(about.labels, "istio.io/use-waypoint") == nullptr && ns != world.namespaces.end())
    from = &ns->second->meta;
  Wish wish = read_wish(from->labels, about.ns, "istio.io/use-waypoint-canary",
                        "istio.io/use-waypoint-canary-namespace");
  if (wish.key.empty() || wish.key == primary.gateway->meta.key()) return {};
  const Waypoint* second = admit(world, about, wish.key);
  std::optional<uint32_t> weight = canary_weight(*from);
  if (second == nullptr || !second->serves_services() || !weight) return {};
  return {{primary.address, 100 - *weight}, {second->address, *weight}};
}

bool is_waypoint_service(const Meta& about) {
  std::string managed = lookup_or(about.labels, "gateway.istio.io/managed", "");
  return managed == "istio.io-mesh-controller" || managed == "istio.io-eastwest-controller";
}

}  // namespace

void derive_waypoints(World& world) {
  for (const Gateway& gateway : world.objects.gateways) {
    bool by_class = controller_of(world, gateway) == "istio.io/mesh-controller";
    if (!by_class && !has_mesh_listener(gateway)) continue;
    if (gateway.class_name == "istio-remote" || gateway.class_name == "istio-east-west") continue;
    std::optional<GatewayAddress> address = address_of(world, gateway);
    if (!address) {
      world.warn(gateway.meta, "has no usable address: nothing can be bound to it");
      continue;
    }
    Waypoint waypoint{&gateway, *address, traffic_of(world, gateway), binding_of(world, gateway)};
    world.waypoints.emplace(gateway.meta.key(), std::move(waypoint));
  }
}

// A namespace's waypoint that does not exist is taken to have been for services, as most are.
void bind_waypoint(const World& world, const Meta& about, const Labels& labels, Workload* workload) {
  Bound bound = find_waypoint(world, about, labels, &Waypoint::serves_workloads);
  if (bound.to != nullptr) workload->waypoint = bound.to->address;
  if (!bound.inherited) workload->missing_waypoint = std::move(bound.missing);
}

void bind_waypoint(const World& world, const Meta& about, config::Service* service) {
  if (is_waypoint_service(about)) return;
  Bound bound = find_waypoint(world, about, about.labels, &Waypoint::serves_services);
  service->missing_waypoint = std::move(bound.missing);
  if (bound.to == nullptr) return;
  service->waypoint = bound.to->address;
  service->weighted_waypoints = canary(world, about, *bound.to);
}

}  // namespace ambientd::config::kubernetes
