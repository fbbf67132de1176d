// SPDX-License-Identifier: Apache-2.0
// The mesh as plain values: what every source of configuration (Kubernetes YAML, ztunnel's local YAML, later
// the control plane) is turned into, and what every decision reads. Records are immutable once inside a
// Snapshot; a change makes a new record. Field names follow istio's workload API (contract/ztunnel.md §8.1,
// §13).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "core/ip.h"
#include "core/spiffe.h"

namespace ambientd::config {

struct NetworkAddress {  // an address on a named network; printed `network/ip`
  std::string network;
  Ip ip;
  auto operator<=>(const NetworkAddress&) const = default;
  std::string str() const { return network + "/" + ip.str(); }
};

struct NamespacedHostname {  // printed `ns/hostname`
  std::string ns, hostname;
  auto operator<=>(const NamespacedHostname&) const = default;
  std::string str() const { return ns + "/" + hostname; }
};

// Where a waypoint or a network gateway is reached.
struct GatewayAddress {
  std::variant<NamespacedHostname, NetworkAddress> destination;
  uint16_t hbone_mtls_port = 15008;
  bool operator==(const GatewayAddress&) const = default;
  std::string str() const;  // `ns/hostname` or `network/ip`
};

struct WeightedWaypoint {
  GatewayAddress destination;
  uint32_t weight = 0;
  bool operator==(const WeightedWaypoint&) const = default;
};

struct Locality {
  std::string region, zone, subzone;
  bool operator==(const Locality&) const = default;
  bool empty() const { return region.empty() && zone.empty() && subzone.empty(); }
};

enum class Tunnel : uint8_t { tcp, hbone };
enum class NetworkMode : uint8_t { standard, host_network };
enum class WorkloadType : uint8_t { deployment, cronjob, pod, job };
enum class Health : uint8_t { healthy, unhealthy };

struct ApplicationTunnel {
  enum class Protocol : uint8_t { none, proxy };
  Protocol protocol = Protocol::none;
  std::optional<uint16_t> port;
  bool operator==(const ApplicationTunnel&) const = default;
};

using PortMap =
    std::map<uint16_t, uint16_t>;  // service port → target port (0: named, see the endpoint's own map)

struct Workload {
  std::string uid;  // Kubernetes//Pod/<ns>/<name>, unique
  std::string name, ns;
  std::vector<Ip> addresses;
  std::string hostname;  // when there is no address
  std::string network;
  Tunnel protocol = Tunnel::tcp;
  NetworkMode network_mode = NetworkMode::standard;
  std::string trust_domain;  // the effective one, never empty when the source has one
  std::string service_account;
  std::string node;
  std::string canonical_name, canonical_revision;
  WorkloadType workload_type = WorkloadType::deployment;
  std::string workload_name;
  std::string cluster_id;
  bool native_tunnel = false;
  std::optional<ApplicationTunnel> application_tunnel;
  std::vector<std::string> authorization_policies;  // "ns/name" of workload-selector policies
  Health status = Health::healthy;
  std::optional<GatewayAddress> waypoint, network_gateway;
  std::string
      missing_waypoint;  // "ns/name": it asks for this one, which does not exist or does not let it in
  Locality locality;
  uint32_t capacity = 1;
  std::map<std::string, PortMap> services;    // "ns/hostname" → ports on this workload
  std::map<std::string, std::string> labels;  // Kubernetes sources only: for subsets and gateways

  bool operator==(const Workload&) const = default;
  Identity identity() const { return {trust_domain, ns, service_account}; }
};

// What a service port speaks, as a waypoint decides it (contract/waypoint.md §1.6). `sniff`: look at the
// bytes.
enum class AppProtocol : uint8_t { sniff, http1, http2, grpc, tcp, tls, udp };

struct ServicePort {
  uint16_t target = 0;  // 0: named target port; each endpoint carries its own number
  AppProtocol protocol = AppProtocol::sniff;
  std::string name;
  bool operator==(const ServicePort&) const = default;
};

struct LoadBalancer {
  enum class Mode : uint8_t { standard, strict, failover, passthrough };
  enum class Scope : uint8_t { region, zone, subzone, node, cluster, network };
  enum class HealthPolicy : uint8_t { only_healthy, allow_all };
  Mode mode = Mode::standard;
  std::vector<Scope> routing_preferences;
  HealthPolicy health_policy = HealthPolicy::only_healthy;
  bool operator==(const LoadBalancer&) const = default;
};

enum class IpFamilies : uint8_t { automatic, ipv4, ipv6, dual };
enum class Visibility : uint8_t { everywhere, ns };

struct NetworkCidr {
  std::string network;
  Cidr cidr;
  bool operator==(const NetworkCidr&) const = default;
};

struct Service {
  std::string name, ns, hostname;
  std::vector<NetworkAddress> vips;
  std::vector<NetworkCidr> cidr_vips;
  std::map<uint16_t, ServicePort> ports;  // by service port
  std::vector<std::string> subject_alt_names;
  std::optional<GatewayAddress> waypoint;
  std::vector<WeightedWaypoint> weighted_waypoints;
  std::string missing_waypoint;  // as a workload's
  std::optional<LoadBalancer> load_balancer;
  IpFamilies ip_families = IpFamilies::automatic;
  Visibility visibility = Visibility::everywhere;
  bool canonical = false;
  bool ingress_use_waypoint = false;

  bool operator==(const Service&) const = default;
  std::string key() const { return ns + "/" + hostname; }  // "ns/hostname", unique
};

using WorkloadPtr = std::shared_ptr<const Workload>;
using ServicePtr = std::shared_ptr<const Service>;

}  // namespace ambientd::config
