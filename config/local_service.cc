// SPDX-License-Identifier: Apache-2.0
#include "config/local.h"

namespace ambientd::config {
namespace {

LoadBalancer::Scope read_scope(const Field& at) {
  using Scope = LoadBalancer::Scope;
  return at.choice<Scope>({{"Region", Scope::region},
                           {"Zone", Scope::zone},
                           {"Subzone", Scope::subzone},
                           {"Node", Scope::node},
                           {"Cluster", Scope::cluster},
                           {"Network", Scope::network}},
                          Scope::network);
}

std::optional<LoadBalancer> read_balancer(const Field& at) {
  using Mode = LoadBalancer::Mode;
  using HealthPolicy = LoadBalancer::HealthPolicy;
  if (!at) return {};
  LoadBalancer out;
  for (const Field& scope : at.need("routingPreferences").each())
    out.routing_preferences.push_back(read_scope(scope));
  out.mode = at.need("mode").choice<Mode>({{"Standard", Mode::standard},
                                           {"Strict", Mode::strict},
                                           {"Failover", Mode::failover},
                                           {"Passthrough", Mode::passthrough}},
                                          Mode::standard);
  out.health_policy = at["healthPolicy"].choice<HealthPolicy>(
      {{"OnlyHealthy", HealthPolicy::only_healthy}, {"AllowAll", HealthPolicy::allow_all}},
      HealthPolicy::only_healthy);
  return out;
}

void read_vips(const Field& at, Service* out) {
  for (const Field& vip : at.need("vips").each())
    if (std::optional<NetworkAddress> address = read_network_address(vip)) out->vips.push_back(*address);
  for (const Field& vip : at["cidrVips"].each()) {
    std::string network = vip["network"].text();
    if (std::optional<Cidr> cidr = vip.need("cidr").cidr()) out->cidr_vips.push_back({network, *cidr});
  }
}

void read_endpoints(const Field& at, const Service& service, std::vector<LocalEndpoint>* out) {
  for (const auto& [uid, field] : at.entries()) {
    LocalEndpoint endpoint;
    endpoint.service = service.key();
    endpoint.workload = field["workloadUid"].text(uid);
    endpoint.ports = read_port_map(field["port"]);
    endpoint.status = read_health(field["status"]);
    endpoint.line = field.line();
    out->push_back(std::move(endpoint));
  }
}

}  // namespace

Service read_local_service(const Field& at, std::vector<LocalEndpoint>* endpoints) {
  Service out;
  out.name = at.need_text("name");
  out.ns = at.need_text("namespace");
  out.hostname = at.need_text("hostname");
  read_vips(at, &out);
  for (const auto& [port, target] : read_port_map(at.need("ports"))) out.ports[port].target = target;
  read_endpoints(at["endpoints"], out, endpoints);
  out.subject_alt_names = at["subjectAltNames"].texts();
  out.waypoint = read_gateway_address(at["waypoint"]);
  for (const Field& field : at["weightedWaypoints"].each()) {
    std::optional<GatewayAddress> address = read_gateway_address(field.need("destination"));
    uint64_t weight = field.need("weight").number(0, UINT32_MAX).value_or(0);
    if (address) out.weighted_waypoints.push_back({*address, static_cast<uint32_t>(weight)});
  }
  out.load_balancer = read_balancer(at["loadBalancer"]);
  out.ip_families = at["ipFamilies"].choice<IpFamilies>(
      {{"IPv4", IpFamilies::ipv4}, {"IPv6", IpFamilies::ipv6}, {"Dual", IpFamilies::dual}},
      IpFamilies::automatic);
  out.canonical = at["canonical"].flag();
  out.visibility = at["visibility"].choice<Visibility>(
      {{"Public", Visibility::everywhere}, {"Namespace", Visibility::ns}}, Visibility::everywhere);
  return out;
}

}  // namespace ambientd::config
