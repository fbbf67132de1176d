// SPDX-License-Identifier: Apache-2.0
#include "config/kubernetes/derive.h"

#include <fmt/format.h>

#include <set>

namespace ambientd::config::kubernetes {
namespace {

// Two objects of one name would otherwise win or lose by file order.
template <class T>
void refuse_doubles(const World& world, const std::vector<T>& objects) {
  std::map<std::string, const Meta*> seen;
  for (const T& object : objects) {
    auto [first, fresh] = seen.emplace(object.meta.subject(), &object.meta);
    if (fresh) continue;
    world.report(Severity::error, object.meta,
                 fmt::format("is already defined at {}:{}", first->second->file, first->second->line));
  }
}

void refuse_all_doubles(const World& world) {
  const Objects& all = world.objects;
  refuse_doubles(world, all.namespaces);
  refuse_doubles(world, all.nodes);
  refuse_doubles(world, all.pods);
  refuse_doubles(world, all.services);
  refuse_doubles(world, all.slices);
  refuse_doubles(world, all.workload_entries);
  refuse_doubles(world, all.service_entries);
  refuse_doubles(world, all.gateway_classes);
  refuse_doubles(world, all.gateways);
  refuse_doubles(world, all.routes);
  refuse_doubles(world, all.policies);
  refuse_doubles(world, all.request_authentications);
  refuse_doubles(world, all.peer_authentications);
}

void take_mesh_config(World& world) {
  for (const MeshConfig& config : world.objects.mesh_configs) {
    if (&config != &world.objects.mesh_configs.front())
      world.report(Severity::error, config.meta, "is a second mesh configuration: keep one");
    if (config.root_namespace) world.mesh.root_namespace = *config.root_namespace;
    if (config.trust_domain) world.mesh.trust_domain = *config.trust_domain;
    if (config.access_log_file) world.mesh.access_log_file = *config.access_log_file;
  }
}

void index_objects(World& world) {
  for (const Namespace& object : world.objects.namespaces)
    world.namespaces.emplace(object.meta.name, &object);
  for (const Node& object : world.objects.nodes) world.nodes.emplace(object.meta.name, &object);
  for (const GatewayClass& object : world.objects.gateway_classes)
    world.classes.emplace(object.meta.name, &object);
  // The system namespace names the network; it is not the root namespace setting (contract/kubernetes.md §0).
  if (const Labels* labels = world.namespace_labels("istio-system"))
    world.network = lookup_or(*labels, "topology.istio.io/network", "");
}

}  // namespace

const Labels* World::namespace_labels(std::string_view ns) const {
  auto at = namespaces.find(ns);
  return at == namespaces.end() ? nullptr : &at->second->meta.labels;
}

void World::report(Severity severity, const Meta& about, std::string message, int line) const {
  problems.push_back(
      {severity, about.file, line > 0 ? line : about.line, about.subject(), {}, std::move(message)});
}

void derive(const Objects& objects, Mesh* mesh, Problems* problems) {
  World world(objects, *mesh, *problems);
  refuse_all_doubles(world);
  take_mesh_config(world);
  index_objects(world);
  derive_waypoints(world);
  derive_network_gateways(world);
  derive_services(world);
  derive_peer_policies(world);
  derive_l4_policies(world);
  derive_pods(world);
  derive_workload_entries(world);
  derive_entry_endpoints(world);
  derive_slice_endpoints(world);
  derive_l7_policies(world);
  derive_routes(world);
}

}  // namespace ambientd::config::kubernetes
