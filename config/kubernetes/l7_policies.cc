// SPDX-License-Identifier: Apache-2.0
// Policies with targetRefs: what a waypoint enforces (contract/waypoint.md §2.5).
#include <fmt/format.h>

#include <algorithm>

#include "config/kubernetes/derive.h"

namespace ambientd::config::kubernetes {
namespace {

L7PolicyPtr make_policy(const Policy& from) {
  policy::L7Authorization out;
  out.name = from.meta.name;
  out.ns = from.meta.ns;
  out.action = from.action;
  out.rules = from.rules;
  out.dry_run = from.dry_run;
  return std::make_shared<const policy::L7Authorization>(std::move(out));
}

bool has_waypoint(const World& world, const std::string& key) {
  auto at = std::ranges::lower_bound(world.mesh.services, key, {}, &config::Service::key);
  return at != world.mesh.services.end() && at->key() == key && at->waypoint.has_value();
}

// What the targets of one object get, and the lists of the mesh it goes to.
template <class T, class ByKey>
struct Attachment {
  const Meta& meta;
  std::vector<T> made;
  ByKey &services, &gateways;
  std::vector<T>& waypoint_class;

  void add_to(std::vector<T>& list) const { list.insert(list.end(), made.begin(), made.end()); }
};

void attach_to_hosts(World& world, const auto& what, const Reference& target, auto&& is_target) {
  auto hosts = world.hosts.find(what.meta.ns);
  bool found = false;
  if (hosts != world.hosts.end())
    for (const Host& host : hosts->second) {
      if (!is_target(host)) continue;
      found = true;
      what.add_to(what.services[host.key]);
      if (!has_waypoint(world, host.key))
        world.warn(what.meta, fmt::format("is not enforced on {}: it is bound to no waypoint", host.key));
    }
  if (!found)
    world.warn(what.meta, fmt::format("targets {} {}, which does not exist in namespace {}", target.kind,
                                      target.name, what.meta.ns));
}

void attach_to_gateway(World& world, const auto& what, const Reference& target) {
  std::string key = what.meta.ns + "/" + target.name;
  if (!world.waypoints.contains(key))
    world.warn(what.meta, fmt::format("targets {}, which is no waypoint", key));
  what.add_to(what.gateways[key]);
}

void attach_to_class(World& world, const auto& what, const Reference& target) {
  if (target.name != "istio-waypoint")
    return world.report(Severity::error, what.meta, "targets a GatewayClass other than istio-waypoint",
                        target.line);
  if (what.meta.ns != world.mesh.root_namespace)
    return world.report(
        Severity::error, what.meta,
        fmt::format("targets a GatewayClass, which only a policy of the root namespace ({}) may",
                    world.mesh.root_namespace),
        target.line);
  what.add_to(what.waypoint_class);
}

void attach(World& world, const auto& what, const Reference& target) {
  const std::string& name = target.name;
  if (target.group.empty() && target.kind == "Service") {
    auto is_target = [&](const Host& host) {
      return host.service != nullptr && host.service->meta.name == name;
    };
    attach_to_hosts(world, what, target, is_target);
  } else if (target.group == "networking.istio.io" && target.kind == "ServiceEntry") {
    auto is_target = [&](const Host& host) { return host.entry != nullptr && host.entry->meta.name == name; };
    attach_to_hosts(world, what, target, is_target);
  } else if (target.group == "gateway.networking.k8s.io" && target.kind == "Gateway") {
    attach_to_gateway(world, what, target);
  } else if (target.group == "gateway.networking.k8s.io" && target.kind == "GatewayClass") {
    attach_to_class(world, what, target);
  } else {
    world.report(
        Severity::error, what.meta,
        fmt::format("targets kind {} of group \"{}\": must be Service, ServiceEntry, Gateway or GatewayClass",
                    target.kind, target.group),
        target.line);
  }
}

}  // namespace

void derive_l7_policies(World& world) {
  Mesh& mesh = world.mesh;
  for (const Policy& policy : world.objects.policies) {
    if (policy.targets.empty()) continue;
    Attachment<L7PolicyPtr, decltype(mesh.service_policies)> what{policy.meta,
                                                                  {make_policy(policy)},
                                                                  mesh.service_policies,
                                                                  mesh.gateway_policies,
                                                                  mesh.waypoint_class_policies};
    for (const Reference& target : policy.targets) attach(world, what, target);
  }
  Attached<policy::JwtRulePtr>& rules = mesh.jwt_rules;
  for (const RequestAuthentication& from : world.objects.request_authentications) {
    Attachment<policy::JwtRulePtr, decltype(rules.services)> what{from.meta, from.rules, rules.services,
                                                                  rules.gateways, rules.waypoint_class};
    for (const Reference& target : from.targets) attach(world, what, target);
  }
}

}  // namespace ambientd::config::kubernetes
