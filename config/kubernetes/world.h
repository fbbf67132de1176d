// SPDX-License-Identifier: Apache-2.0
// What every derivation looks things up in: all objects of all files, indexed once, with the mesh-wide
// settings, and the Mesh under construction. Only derive.cc makes one, it lives as long as the derivation.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "config/kubernetes/objects.h"
#include "config/problem.h"
#include "config/snapshot.h"

namespace ambientd::config::kubernetes {

inline constexpr std::string_view kClusterId = "Kubernetes";
inline constexpr std::string_view kDomain = "cluster.local";

// A Gateway that services and workloads can be bound to (contract/kubernetes.md §6).
struct Waypoint {
  enum class For : uint8_t { service, workload, all, none };
  const Gateway* gateway = nullptr;
  GatewayAddress address;
  For traffic = For::service;
  std::optional<ApplicationTunnel> binding;

  bool serves_services() const { return traffic == For::service || traffic == For::all; }
  bool serves_workloads() const { return traffic == For::workload || traffic == For::all; }
};

// A service of the model and where it came from: exactly one of the two.
struct Host {
  std::string key;  // "ns/hostname"
  const Service* service = nullptr;
  const ServiceEntry* entry = nullptr;
  const Labels& selector() const { return service ? service->selector : entry->selector; }
  const std::vector<ServicePort>& ports() const { return service ? service->ports : entry->ports; }
};

struct World {
  World(const Objects& all, Mesh& to, Problems& found) : objects(all), mesh(to), problems(found) {}

  const Objects& objects;
  Mesh& mesh;
  Problems& problems;
  std::string network;  // of everything local
  std::map<std::string, const Namespace*, std::less<>> namespaces;
  std::map<std::string, const Node*, std::less<>> nodes;
  std::map<std::string, const GatewayClass*, std::less<>> classes;
  std::map<std::string, Waypoint, std::less<>> waypoints;       // by "ns/name"
  std::map<std::string, std::vector<Host>, std::less<>> hosts;  // by namespace, services first
  std::map<std::string, std::vector<const Policy*>, std::less<>>
      selecting;  // L4 selector policies by namespace
  std::map<std::string, GatewayAddress, std::less<>> network_gateways;

  const Labels* namespace_labels(std::string_view ns) const;
  void warn(const Meta& about, std::string message) const {
    report(Severity::warning, about, std::move(message));
  }
  void report(Severity severity, const Meta& about, std::string message, int line = 0) const;
};

// The value of a label or annotation; null when it is not there.
const std::string* lookup(const Labels& labels, std::string_view key);
std::string lookup_or(const Labels& labels, std::string_view key, std::string_view fallback);
bool subset(const Labels& wanted, const Labels& of);  // every wanted label is there with that value

}  // namespace ambientd::config::kubernetes
