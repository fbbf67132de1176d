// SPDX-License-Identifier: Apache-2.0
#include "l4/waypoint.h"

#include <algorithm>

#include "config/balance.h"

namespace ambientd::l4 {
namespace {

using config::GatewayAddress;
using config::NamespacedHostname;
using config::NetworkAddress;
using config::ServicePtr;
using config::WorkloadPtr;

// What a reference names: a service, or else a workload; or neither.
struct Named {
  ServicePtr service;
  WorkloadPtr workload;
};

Named look_up(const config::Snapshot& snapshot, const GatewayAddress& reference) {
  Named out;
  if (const auto* host = std::get_if<NamespacedHostname>(&reference.destination)) {
    out.service = snapshot.service(host->ns, host->hostname);
    if (!out.service) out.workload = snapshot.workload_by_hostname(host->ns, host->hostname);
  } else {
    const auto& at = std::get<NetworkAddress>(reference.destination);
    out.service = snapshot.service_by_vip(at.network, at.ip, "");
    if (!out.service) out.workload = snapshot.workload_by_ip(at.network, at.ip);
  }
  return out;
}

// The family to reach it by: as the reference says, else as the application's call.
const Ip& wanted(const GatewayAddress& reference, const Call& call) {
  const auto* at = std::get_if<NetworkAddress>(&reference.destination);
  return at ? at->ip : call.target.ip;
}

template <class Matches>
bool any_backend(const config::Snapshot& snapshot, const GatewayAddress& reference, Matches matches) {
  Named named = look_up(snapshot, reference);
  if (named.workload) return matches(*named.workload);
  if (!named.service) return false;
  return std::ranges::any_of(snapshot.endpoints(*named.service),
                             [&](const config::Endpoint& each) { return matches(*each.workload); });
}

}  // namespace

std::vector<Identity> identities(const config::Service* service, const config::Workload& workload) {
  std::vector<Identity> out;
  if (service) {
    for (const std::string& name : service->subject_alt_names) {
      if (std::optional<Identity> identity = Identity::parse(name)) out.push_back(std::move(*identity));
    }
  }
  out.push_back(workload.identity());
  return out;
}

Result<Gateway> find_gateway(const config::Snapshot& snapshot, GatewayKind kind,
                             const GatewayAddress& reference, const Call& call, uint64_t random,
                             config::Tried tried, Trace* trace) {
  bool waypoint = kind == GatewayKind::waypoint;
  auto purpose = waypoint ? config::Purpose::waypoint : config::Purpose::traffic;
  Named named = look_up(snapshot, reference);
  config::Choice choice{named.workload, reference.hbone_mtls_port};
  if (named.workload && contains(tried, *named.workload)) choice.workload = nullptr;
  if (named.service) {
    const uint16_t port = reference.hbone_mtls_port;
    if (trace)
      trace->choices.push_back({waypoint ? "waypoint" : "network gateway", named.service, port,
                                candidates(snapshot, *named.service, port, call.self, purpose, tried)});
    std::optional<config::Choice> picked =
        config::balance(snapshot, *named.service, port, call.self, purpose, random, tried);
    if (picked) choice = std::move(*picked);
  }
  if (!choice.workload && waypoint)
    return fail(Errc::unknown_waypoint, "unknown waypoint: waypoint " + reference.str() + " not found");
  if (!choice.workload)
    return fail(Errc::no_destination,
                "unknown network gateway: network gateway " + reference.str() + " not found");
  Gateway out{choice.workload, named.service, {{}, choice.port}, {}, {}};
  out.identities = identities(named.service.get(), *choice.workload);
  if (config::needs_dns(*choice.workload)) {
    out.hostname = choice.workload->hostname;
    return out;
  }
  auto families = named.service ? named.service->ip_families : config::IpFamilies::automatic;
  Result<Ip> ip = config::destination_ip(*choice.workload, wanted(reference, call), families);
  if (!ip) return fail(std::move(ip.error()));
  out.address.ip = *ip;
  return out;
}

bool comes_from_waypoint(const config::Snapshot& snapshot, const GatewayAddress& reference,
                         const Call& call) {
  return any_backend(snapshot, reference, [&](const config::Workload& each) {
    return each.service_account == call.self.service_account && each.ns == call.self.ns &&
           each.trust_domain == call.self.trust_domain &&
           std::ranges::find(each.addresses, call.from) != each.addresses.end();
  });
}

bool is_waypoint(const config::Snapshot& snapshot, const GatewayAddress& reference,
                 const config::Workload& self, const Ip& at) {
  if (const auto* address = std::get_if<NetworkAddress>(&reference.destination); address && address->ip == at)
    return true;
  return any_backend(snapshot, reference, [&](const config::Workload& each) { return each.uid == self.uid; });
}

}  // namespace ambientd::l4
