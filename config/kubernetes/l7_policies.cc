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

void attach_to_hosts(World& world, const Policy& policy, const Reference& target, const L7PolicyPtr& made,
                     auto&& is_target) {
  auto hosts = world.hosts.find(policy.meta.ns);
  bool found = false;
  if (hosts != world.hosts.end())
    for (const Host& host : hosts->second) {
      if (!is_target(host)) continue;
      found = true;
      world.mesh.service_policies[host.key].push_back(made);
      if (!has_waypoint(world, host.key))
        world.warn(policy.meta, fmt::format("is not enforced on {}: it is bound to no waypoint", host.key));
    }
  if (!found)
    world.warn(policy.meta, fmt::format("targets {} {}, which does not exist in namespace {}", target.kind,
                                        target.name, policy.meta.ns));
}

void attach_to_gateway(World& world, const Policy& policy, const Reference& target, const L7PolicyPtr& made) {
  std::string key = policy.meta.ns + "/" + target.name;
  if (!world.waypoints.contains(key))
    world.warn(policy.meta, fmt::format("targets {}, which is no waypoint", key));
  world.mesh.gateway_policies[key].push_back(made);
}

void attach_to_class(World& world, const Policy& policy, const Reference& target, const L7PolicyPtr& made) {
  if (target.name != "istio-waypoint")
    return world.report(Severity::error, policy.meta, "targets a GatewayClass other than istio-waypoint",
                        target.line);
  if (policy.meta.ns != world.mesh.root_namespace)
    return world.report(
        Severity::error, policy.meta,
        fmt::format("targets a GatewayClass, which only a policy of the root namespace ({}) may",
                    world.mesh.root_namespace),
        target.line);
  world.mesh.waypoint_class_policies.push_back(made);
}

void attach(World& world, const Policy& policy, const Reference& target, const L7PolicyPtr& made) {
  const std::string& name = target.name;
  if (target.group.empty() && target.kind == "Service") {
    auto is_target = [&](const Host& host) {
      return host.service != nullptr && host.service->meta.name == name;
    };
    attach_to_hosts(world, policy, target, made, is_target);
  } else if (target.group == "networking.istio.io" && target.kind == "ServiceEntry") {
    auto is_target = [&](const Host& host) { return host.entry != nullptr && host.entry->meta.name == name; };
    attach_to_hosts(world, policy, target, made, is_target);
  } else if (target.group == "gateway.networking.k8s.io" && target.kind == "Gateway") {
    attach_to_gateway(world, policy, target, made);
  } else if (target.group == "gateway.networking.k8s.io" && target.kind == "GatewayClass") {
    attach_to_class(world, policy, target, made);
  } else {
    world.report(
        Severity::error, policy.meta,
        fmt::format("targets kind {} of group \"{}\": must be Service, ServiceEntry, Gateway or GatewayClass",
                    target.kind, target.group),
        target.line);
  }
}

}  // namespace

void derive_l7_policies(World& world) {
  for (const Policy& policy : world.objects.policies) {
    if (policy.targets.empty()) continue;
    L7PolicyPtr made = make_policy(policy);
    for (const Reference& target : policy.targets) attach(world, policy, target, made);
  }
}

}  // namespace ambientd::config::kubernetes
