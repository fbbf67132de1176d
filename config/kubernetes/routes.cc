// SPDX-License-Identifier: Apache-2.0
// HTTPRoutes and GRPCRoutes bound to services: every match of every rule of every route becomes one rule, and
// the rules of one service port stand in order of precedence (contract/waypoint.md §2.1).
#include <fmt/format.h>

#include <algorithm>

#include "config/kubernetes/derive.h"

namespace ambientd::config::kubernetes {
namespace {

struct Ranked {
  const Route* route = nullptr;
  size_t rule = 0, match = 0;
  RouteRule made;
};

using RankedByPort = std::map<uint16_t, std::vector<Ranked>>;
using RankedByService = std::map<std::string, RankedByPort>;

int path_rank(PathMatch::Kind kind) {
  switch (kind) {
    case PathMatch::Kind::exact:
      return 0;
    case PathMatch::Kind::prefix:
    case PathMatch::Kind::raw_prefix:
      return 1;
    case PathMatch::Kind::regex:
      return 2;
  }
  return 2;
}

// Smaller goes first: kind of path, longer path, a method, more headers, more query parameters, oldest, name.
auto precedence(const Ranked& r) {
  const RouteMatch& match = r.made.match;
  const Meta& meta = r.route->meta;
  auto most = [](size_t n) { return -static_cast<int64_t>(n); };
  return std::tuple(path_rank(match.path.kind), most(match.path.value.size()), !match.method,
                    most(match.headers.size()), most(match.query.size()), std::string_view(meta.created),
                    std::string_view(meta.ns), std::string_view(meta.name), r.rule, r.match);
}

const config::Service* find_service(const World& world, std::string_view key) {
  auto at = std::ranges::lower_bound(world.mesh.services, key, {}, &config::Service::key);
  return at != world.mesh.services.end() && at->key() == key ? &*at : nullptr;
}

// A hostname as the route's namespace sees it: its own service first, else the canonical one.
const config::Service* find_hostname(const World& world, std::string_view hostname, std::string_view ns) {
  const config::Service* best = nullptr;
  for (const config::Service& service : world.mesh.services) {
    if (service.hostname != hostname) continue;
    if (service.ns == ns) return &service;
    if (service.canonical) best = &service;
  }
  return best;
}

const config::Service* find_backend(const World& world, const Reference& ref, std::string_view route_ns) {
  if (ref.group.empty() && ref.kind == "Service")
    return find_service(world, ref.ns + "/" + service_hostname(ref.name, ref.ns));
  if (ref.group == "networking.istio.io" && ref.kind == "Hostname")
    return find_hostname(world, ref.name, route_ns);
  return nullptr;
}

Backend make_backend(const World& world, const Route& route, const RouteBackend& from) {
  Backend out;
  out.port = from.target.port;
  out.weight = from.weight;
  out.request_headers = from.filters.request_headers;
  out.response_headers = from.filters.response_headers;
  const config::Service* service = find_backend(world, from.target, route.meta.ns);
  if (service != nullptr && service->ports.contains(out.port)) {
    out.service = service->key();
  } else {
    world.report(Severity::warning, route.meta,
                 fmt::format("backend {} port {} does not exist: its share is answered 500", from.target.name,
                             from.target.port),
                 from.target.line);
  }
  return out;
}

RouteRule make_rule(const World& world, const Route& route, const RouteRuleSpec& from) {
  RouteRule out;
  out.name = from.name.empty() ? "default" : from.name;
  const RouteFilters& filters = from.filters;
  if (filters.refused) return out;
  out.request_headers = filters.request_headers;
  out.response_headers = filters.response_headers;
  out.redirect = filters.redirect;
  out.rewrite = filters.rewrite.value_or(Rewrite{});
  out.cors = filters.cors;
  out.timeout_ms = from.timeout_ms;
  out.retry = from.retry;
  for (const RouteBackend& backend : from.backends)
    out.backends.push_back(make_backend(world, route, backend));
  return out;
}

std::vector<Ranked> rank(const World& world, const Route& route) {
  std::vector<Ranked> out;
  for (size_t i = 0; i < route.rules.size(); ++i) {
    RouteRule rule = make_rule(world, route, route.rules[i]);
    for (size_t j = 0; j < route.rules[i].matches.size(); ++j) {
      out.push_back({&route, i, j, rule});
      out.back().made.match = route.rules[i].matches[j];
    }
  }
  return out;
}

bool is_parent(const Host& host, const Reference& parent) {
  if (parent.group.empty() && parent.kind == "Service")
    return host.service != nullptr && host.service->meta.name == parent.name;
  return parent.group == "networking.istio.io" && parent.kind == "ServiceEntry" && host.entry != nullptr &&
         host.entry->meta.name == parent.name;
}

// Only the service's owner, or its waypoint's, decides about its traffic (contract/waypoint.md §1.13).
bool may_route(const Route& route, const config::Service& service) {
  if (route.meta.ns == service.ns || !service.waypoint) return route.meta.ns == service.ns;
  const auto* waypoint = std::get_if<NamespacedHostname>(&service.waypoint->destination);
  return waypoint != nullptr && waypoint->ns == route.meta.ns;
}

bool wants_port(const Reference& parent, uint16_t number, const config::ServicePort& port) {
  return (parent.port == 0 || parent.port == number) &&
         (parent.section.empty() || parent.section == port.name);
}

void attach(const World& world, const Route& route, const Reference& parent, const config::Service& service,
            const std::vector<Ranked>& rules, RankedByService* out) {
  if (!may_route(route, service))
    return world.warn(route.meta,
                      fmt::format("has no effect on {}: a route counts in the namespace of the service "
                                  "or of its waypoint",
                                  service.key()));
  if (!service.waypoint && !service.ports.empty())
    world.warn(route.meta, fmt::format("has no effect on {}: it is bound to no waypoint", service.key()));
  bool found = false;
  for (const auto& [number, port] : service.ports) {
    if (!wants_port(parent, number, port)) continue;
    std::vector<Ranked>& ranked = (*out)[service.key()][number];
    ranked.insert(ranked.end(), rules.begin(), rules.end());
    found = true;
  }
  if (!found) world.warn(route.meta, fmt::format("names no port of {}", service.key()));
}

void attach(const World& world, const Route& route, const Reference& parent, const std::vector<Ranked>& rules,
            RankedByService* out) {
  if (parent.group == "gateway.networking.k8s.io")
    return world.report(Severity::warning, route.meta,
                        fmt::format("parent {} {} is not served: only Services and ServiceEntries are",
                                    parent.kind, parent.name),
                        parent.line);
  auto hosts = world.hosts.find(parent.ns);
  bool found = false;
  if (hosts != world.hosts.end())
    for (const Host& host : hosts->second) {
      if (!is_parent(host, parent)) continue;
      found = true;
      attach(world, route, parent, *find_service(world, host.key), rules, out);
    }
  if (!found)
    world.report(Severity::warning, route.meta,
                 fmt::format("parent {} {}/{} does not exist", parent.kind, parent.ns, parent.name),
                 parent.line);
}

HttpRoutes sorted(std::vector<Ranked>& ranked) {
  HttpRoutes out;
  out.routed = true;
  std::ranges::sort(ranked, {}, precedence);
  for (Ranked& rule : ranked) out.rules.push_back(std::move(rule.made));
  return out;
}

}  // namespace

void derive_routes(World& world) {
  RankedByService all;
  for (const Route& route : world.objects.routes) {
    std::vector<Ranked> rules = rank(world, route);
    for (const Reference& parent : route.parents) attach(world, route, parent, rules, &all);
  }
  for (auto& [key, ports] : all)
    for (auto& [port, ranked] : ports) world.mesh.routes[key][port] = sorted(ranked);
}

}  // namespace ambientd::config::kubernetes
