// SPDX-License-Identifier: Apache-2.0
#include "l4/validate.h"

#include <fmt/format.h>

#include <algorithm>

#include "config/balance.h"
#include "core/text.h"
#include "l4/ports.h"
#include "l4/waypoint.h"

namespace ambientd::l4 {
namespace {

using config::ServicePtr;
using config::WorkloadPtr;

// An authority with an address of somebody else is for us only when we are that one's waypoint.
bool serves(const config::Snapshot& snapshot, std::string_view network, const config::Workload& self,
            const Ip& local, const Ip& asked) {
  auto is_us = [&](const config::GatewayAddress& reference) {
    return is_waypoint(snapshot, reference, self, local);
  };
  if (WorkloadPtr workload = snapshot.workload_by_ip(network, asked))
    return workload->waypoint && is_us(*workload->waypoint);
  ServicePtr service = snapshot.service_by_vip(network, asked, self.ns);
  if (!service) return false;
  return (service->waypoint && is_us(*service->waypoint)) ||
         std::ranges::any_of(service->weighted_waypoints,
                             [&](const config::WeightedWaypoint& each) { return is_us(each.destination); });
}

Status check_address(const config::Snapshot& snapshot, std::string_view network, const config::Workload& self,
                     const Ip& local, const Ip& asked) {
  if (asked == local || self.application_tunnel || serves(snapshot, network, self, local, asked)) return {};
  return fail(Errc::ip_mismatch, fmt::format("ip mismatch: {} != {}", local.str(), asked.str()));
}

const config::PortMap* own_ports(const config::Workload& self, const config::Service& service) {
  auto found = self.services.find(service.key());
  return found == self.services.end() ? nullptr : &found->second;
}

// The port behind `host:port` on us.
Result<Admission> resolve(const config::Snapshot& snapshot, const config::Workload& self, const Ip& local,
                          const HostPort& asked) {
  ServicePtr service = snapshot.service_by_hostname(asked.host, self.ns);
  if (!service) {
    if (snapshot.workload_by_hostname(self.ns, asked.host)) return Admission{{local, asked.port}, nullptr};
    return fail(Errc::not_found, "no service or workload for hostname: " + asked.host);
  }
  config::Endpoint us{WorkloadPtr(WorkloadPtr(), &self), own_ports(self, *service)};  // not owned
  std::optional<uint16_t> port = config::endpoint_port(*service, us, asked.port, config::Purpose::traffic);
  if (port) return Admission{{local, *port}, service};
  if (self.application_tunnel && self.application_tunnel->port)
    return Admission{{local, asked.port}, service};
  return fail(Errc::no_destination,
              fmt::format("requested service {}:{} found, but cannot resolve port", asked.host, asked.port));
}

// The address a service is known by here: on our network before others, IPv4 before IPv6.
std::optional<Ip> vip_of(const config::Service& service, std::string_view network) {
  const config::NetworkAddress* best = nullptr;
  auto rank = [&](const config::NetworkAddress& vip) {
    return vip.network != network ? 2 : vip.ip.v6 ? 1 : 0;
  };
  for (const config::NetworkAddress& each : service.vips)
    if (!best || rank(each) < rank(*best)) best = &each;
  return best ? std::optional(best->ip) : std::nullopt;
}

// What a PROXY header says of where the call was meant to go. `named`: the service the authority named.
Result<Admission::Told> tell(const config::Snapshot& snapshot, std::string_view network,
                             const config::Workload& self, const Ip& local, const HostPort& asked,
                             const ServicePtr& named) {
  if (std::optional<Ip> ip = Ip::parse(asked.host)) {
    ServicePtr service = snapshot.service_by_vip(network, *ip, self.ns);
    return Admission::Told{{*ip, asked.port}, service ? service->hostname : ""};
  }
  if (!named) return Admission::Told{{local, asked.port}, ""};
  std::optional<Ip> vip = vip_of(*named, network);
  if (vip) return Admission::Told{{*vip, asked.port}, named->hostname};
  return fail(Errc::no_destination,
              fmt::format("requested service {} found, but has no IP addresses", asked.host));
}

bool leads_to(const config::PortMap& ports, uint16_t port) {
  return std::ranges::any_of(ports, [port](const auto& each) { return each.second == port; });
}

ServicePtr by_key(const config::Snapshot& snapshot, std::string_view key) {
  size_t slash = key.find('/');
  if (slash == key.npos) return nullptr;
  return snapshot.service(key.substr(0, slash), key.substr(slash + 1));
}

}  // namespace

Result<Admission> validate(const config::Snapshot& snapshot, std::string_view network,
                           const config::Workload& self, const SockAddr& local, std::string_view authority) {
  std::optional<HostPort> asked = parse_host_port(authority);
  if (!asked)
    return fail(Errc::bad_request, "no valid authority pseudo header: " + quoted(authority.substr(0, 100)));
  Admission admission{{local.ip, asked->port}, nullptr};
  if (std::optional<Ip> ip = Ip::parse(asked->host)) {
    Status ours = check_address(snapshot, network, self, local.ip, *ip);
    if (!ours) return fail(std::move(ours.error()));
  } else {
    Result<Admission> resolved = resolve(snapshot, self, local.ip, *asked);
    if (!resolved) return resolved;
    admission = std::move(*resolved);
  }
  if (is_own_port(admission.app.port)) return fail(Errc::self_call, "attempted recursive call to ourselves");
  const std::optional<config::ApplicationTunnel>& tunnel = self.application_tunnel;
  if (!tunnel) return admission;
  if (tunnel->protocol == config::ApplicationTunnel::Protocol::proxy) {
    Result<Admission::Told> told = tell(snapshot, network, self, local.ip, *asked, admission.service);
    if (!told) return fail(std::move(told.error()));
    admission.told = std::move(*told);
  }
  if (tunnel->port) admission.app.port = *tunnel->port;
  if (is_own_port(admission.app.port)) return fail(Errc::self_call, "attempted recursive call to ourselves");
  return admission;
}

ServicePtr meant_service(const config::Snapshot& snapshot, const config::Workload& self,
                         std::string_view forwarded_host, uint16_t app_port) {
  const std::string* first = nullptr;
  for (const auto& [key, ports] : self.services) {
    if (!forwarded_host.empty() && key.substr(key.find('/') + 1) == forwarded_host)
      return by_key(snapshot, key);
    if (!first && leads_to(ports, app_port)) first = &key;
  }
  return first ? by_key(snapshot, *first) : nullptr;
}

WorkloadPtr source_workload(const config::Snapshot& snapshot, std::string_view network, const Ip& source,
                            const std::optional<std::string>& forwarded_network) {
  if (forwarded_network && !equals_ignore_case(*forwarded_network, network)) return nullptr;
  return snapshot.workload_by_ip(network, source);
}

}  // namespace ambientd::l4
