// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "config/kubernetes/read.h"
#include "core/text.h"

namespace ambientd::config::kubernetes {
namespace {

struct Named {
  std::string_view name;
  AppProtocol protocol;
};

constexpr Named kProtocols[] = {
    {"http", AppProtocol::http1}, {"http_proxy", AppProtocol::http1}, {"http2", AppProtocol::http2},
    {"grpc", AppProtocol::grpc},  {"tls", AppProtocol::tls},          {"https", AppProtocol::tls},
    {"tcp", AppProtocol::tcp},    {"mongo", AppProtocol::tcp},        {"redis", AppProtocol::tcp},
    {"mysql", AppProtocol::tcp},  {"hbone", AppProtocol::tcp},        {"udp", AppProtocol::udp},
};

// Ports whose servers speak first, so that sniffing would wait for ever.
bool server_speaks_first(uint16_t port) { return port == 25 || port == 53 || port == 3306 || port == 27017; }

void read_target(const Field& target, ServicePort* port) {
  port->target = port->port;
  if (!target) return;
  if (!target.is_number()) {
    port->target = 0;
    port->target_name = target.text();
  } else if (target.number(0, 65535) != 0) {
    port->target = target.port().value_or(0);
  }
}

std::optional<ServicePort> read_port(const Field& field) {
  ServicePort port;
  std::optional<uint16_t> number = field.need("port").port();
  if (!number) return {};
  port.port = *number;
  port.name = field["name"].text();
  port.protocol =
      app_protocol(field["protocol"].text("TCP"), field["appProtocol"].text(), port.name, port.port);
  read_target(field["targetPort"], &port);
  return port;
}

void read_cluster_ips(const Field& spec, Service* service) {
  std::vector<Field> ips = spec["clusterIPs"].each();
  if (ips.empty()) ips.push_back(spec["clusterIP"]);
  for (const Field& field : ips) {
    std::string text = field.text();
    if (text.empty() || text == "None") continue;
    if (std::optional<Ip> ip = field.ip()) service->cluster_ips.push_back(*ip);
  }
}

IpFamilies read_families(const Field& families) {
  std::vector<std::string> names = families.texts();
  if (names.size() >= 2) return IpFamilies::dual;
  if (names.empty()) return IpFamilies::automatic;
  return names[0] == "IPv6" ? IpFamilies::ipv6 : IpFamilies::ipv4;
}

Distribution distribution_of(std::string_view spec) {
  if (spec == "PreferClose" || spec == "PreferSameZone") return Distribution::same_zone;
  if (spec == "PreferSameNode") return Distribution::same_node;
  return Distribution::unset;
}

}  // namespace

AppProtocol app_protocol(std::string_view transport, std::string_view app, std::string_view name,
                         uint16_t port) {
  if (transport == "UDP") return AppProtocol::udp;
  if (app == "kubernetes.io/h2c") return AppProtocol::http2;
  if (app == "kubernetes.io/ws") return AppProtocol::http1;
  if (app == "kubernetes.io/wss") return AppProtocol::tls;
  std::string word = to_lower(app.empty() ? name : app);
  if (word.starts_with("grpc-web")) return AppProtocol::sniff;  // HTTP/1.1 or HTTP/2
  word = word.substr(0, word.find('-'));
  auto known = std::ranges::find(kProtocols, word, &Named::name);
  if (known != std::end(kProtocols)) return known->protocol;
  return server_speaks_first(port) ? AppProtocol::tcp : AppProtocol::sniff;
}

void read_service(Meta meta, const Field& root, Objects* out) {
  Service service;
  Field spec = root["spec"];
  service.external_name = spec["type"].text("ClusterIP") == "ExternalName";
  service.local_only = spec["internalTrafficPolicy"].text() == "Local";
  service.publish_not_ready = spec["publishNotReadyAddresses"].flag();
  service.distribution = distribution_of(spec["trafficDistribution"].text());
  service.ip_families = read_families(spec["ipFamilies"]);
  service.selector = spec["selector"].text_map();
  read_cluster_ips(spec, &service);
  for (const Field& field : spec["ports"].each())
    if (std::optional<ServicePort> port = read_port(field)) service.ports.push_back(std::move(*port));
  service.meta = std::move(meta);
  out->services.push_back(std::move(service));
}

}  // namespace ambientd::config::kubernetes
