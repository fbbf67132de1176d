// SPDX-License-Identifier: Apache-2.0
#include "l7/dispatch.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace ambientd::l7 {
namespace {

using config::AppProtocol;

constexpr std::string_view kGatewayLabel = "gateway.networking.k8s.io/gateway-name";
constexpr std::array<uint16_t, 3> kProxyPorts = {15001, 15006, 15008};

// The Gateway's name is on the pod; without labels (ztunnel's local YAML) it is that of the pod's service.
std::string gateway_of(const config::Snapshot& snapshot, const config::Workload& workload) {
  auto label = workload.labels.find(std::string(kGatewayLabel));
  if (label != workload.labels.end()) return workload.ns + "/" + label->second;
  for (const auto& [key, ports] : workload.services) {
    size_t slash = key.find('/');
    config::ServicePtr service = snapshot.service(key.substr(0, slash), key.substr(slash + 1));
    if (service) return service->ns + "/" + service->name;
  }
  return workload.ns + "/" + workload.service_account;
}

bool has_address(const config::Workload& workload, const config::NetworkAddress& at) {
  return workload.network == at.network &&
         std::ranges::find(workload.addresses, at.ip) != workload.addresses.end();
}

bool is_bound(const config::Snapshot& snapshot, const Self& self, const config::Workload& workload) {
  return workload.waypoint && is_self(snapshot, self, *workload.waypoint);
}

Result<Target> to_service(config::ServicePtr service, const SockAddr& destination) {
  auto port = service->ports.find(destination.port);
  if (port == service->ports.end() || port->second.protocol == AppProtocol::udp) {
    return fail(Errc::not_found,
                fmt::format("service {} has no TCP port {}", service->key(), destination.port));
  }
  AppProtocol protocol = port->second.protocol;
  return Target{destination, std::move(service), nullptr, protocol};
}

}  // namespace

Result<Self> Self::find(const config::Snapshot& snapshot, std::string_view name, std::string_view ns,
                        std::string_view sa) {
  Self self;
  self.workload = snapshot.workload_by_name(name, ns, sa);
  if (!self.workload) {
    return fail(Errc::not_found,
                fmt::format("this waypoint's own pod {}/{} (service account {}) is not in the configuration",
                            ns, name, sa));
  }
  self.gateway = gateway_of(snapshot, *self.workload);
  return self;
}

bool is_self(const config::Snapshot& snapshot, const Self& self, const config::GatewayAddress& waypoint) {
  const config::Workload& me = *self.workload;
  if (const auto* name = std::get_if<config::NamespacedHostname>(&waypoint.destination))
    return me.services.contains(name->str());
  const auto& at = std::get<config::NetworkAddress>(waypoint.destination);
  if (has_address(me, at)) return true;
  config::ServicePtr service = snapshot.service_by_vip(at.network, at.ip, {});
  return service && me.services.contains(service->key());
}

bool is_bound(const config::Snapshot& snapshot, const Self& self, const config::Service& service) {
  if (service.waypoint && is_self(snapshot, self, *service.waypoint)) return true;
  return std::ranges::any_of(service.weighted_waypoints, [&](const config::WeightedWaypoint& each) {
    return is_self(snapshot, self, each.destination);
  });
}

Result<Target> dispatch(const config::Snapshot& snapshot, const Self& self, std::string_view authority) {
  std::optional<SockAddr> to = SockAddr::parse(authority);
  if (!to) {
    return fail(Errc::bad_request,
                "CONNECT authority is not an IP address and port (only service and pod "
                "addresses are taken here)");
  }
  const std::string& network = self.workload->network;
  config::ServicePtr service = snapshot.service_by_vip(network, to->ip, {});
  if (service && is_bound(snapshot, self, *service)) return to_service(std::move(service), *to);
  config::WorkloadPtr workload = service ? nullptr : snapshot.workload_by_ip(network, to->ip);
  if (!workload || !is_bound(snapshot, self, *workload)) {
    return fail(Errc::not_found,
                fmt::format("no service or workload at {} uses this waypoint ({})", to->str(), self.gateway));
  }
  if (std::ranges::find(kProxyPorts, to->port) != kProxyPorts.end())
    return fail(Errc::self_call, fmt::format("{} is a port of a proxy", to->str()));
  return Target{*to, nullptr, std::move(workload), AppProtocol::sniff};
}

}  // namespace ambientd::l7
