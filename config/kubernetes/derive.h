// SPDX-License-Identifier: Apache-2.0
// From objects to the mesh, the way the control plane does it (contract/kubernetes.md), without the quirks
// marked [Q] there. The order matters: waypoints, services, workloads, then what is attached to them.
#pragma once

#include "config/kubernetes/objects.h"
#include "config/kubernetes/world.h"
#include "config/problem.h"
#include "config/snapshot.h"

namespace ambientd::config::kubernetes {

// Fills *mesh, which must be empty, with everything `objects` yield. Problems are appended to *problems.
void derive(const Objects& objects, Mesh* mesh, Problems* problems);

// Its steps, in order.
void derive_waypoints(World& world);
void derive_network_gateways(World& world);
void derive_services(World& world);
void derive_peer_policies(World& world);  // PeerAuthentication
void derive_l4_policies(World& world);
void derive_pods(World& world);
void derive_workload_entries(World& world);
void derive_entry_endpoints(World& world);
void derive_slice_endpoints(World& world);
void derive_l7_policies(World& world);  // AuthorizationPolicy and RequestAuthentication with targetRefs
void derive_routes(World& world);

// waypoints.cc: sets which waypoint an object is bound to, or which one it asks for and does not get.
void bind_waypoint(const World& world, const Meta& about, const Labels& labels, Workload* workload);
void bind_waypoint(const World& world, const Meta& about, config::Service* service);

// policies: the names a workload's authorization_policies hold, in order (contract/kubernetes.md §1, §9).
std::vector<std::string> policies_of(const World& world, std::string_view ns, const Labels& labels);
std::vector<std::string> peer_policies_of(const World& world, std::string_view ns, const Labels& labels);

// names.cc
std::string workload_name(const Pod& pod);
void set_canonical(const Labels& labels, Workload* workload);  // after workload_name is set
void set_tunnel(const Meta& meta, const Labels& labels, Workload* workload);
std::string service_hostname(std::string_view name, std::string_view ns);

}  // namespace ambientd::config::kubernetes
