// SPDX-License-Identifier: Apache-2.0
// Gateways to other networks: a Gateway of class istio-remote says where one is (contract/kubernetes.md §7).
#include <fmt/format.h>

#include <algorithm>

#include "config/kubernetes/derive.h"

namespace ambientd::config::kubernetes {
namespace {

Workload make_workload(const World& world, const Gateway& gateway, const std::string& network,
                       const GatewayAddressSpec& address, uint16_t port) {
  Workload out;
  out.uid = out.name = fmt::format("NetworkGateway/{}/{}/{}", network, address.value, port);
  out.ns = gateway.meta.ns;
  out.network = network;
  out.trust_domain = world.mesh.trust_domain;
  out.service_account = lookup_or(gateway.meta.annotations, "gateway.istio.io/service-account",
                                  gateway.meta.name + "-istio-remote");
  if (std::optional<Ip> ip = Ip::parse(address.value))
    out.addresses = {*ip};
  else
    out.hostname = address.value;
  return out;
}

GatewayAddress to_address(const Workload& gateway, uint16_t port) {
  if (!gateway.addresses.empty()) return {NetworkAddress{gateway.network, gateway.addresses.front()}, port};
  return {NamespacedHostname{gateway.ns, gateway.hostname}, port};
}

}  // namespace

void derive_network_gateways(World& world) {
  for (const Gateway& gateway : world.objects.gateways) {
    std::string network = lookup_or(gateway.meta.labels, "topology.istio.io/network", "");
    auto listener = std::ranges::find(gateway.listeners, "HBONE", &Listener::protocol);
    if (gateway.class_name != "istio-remote" || network.empty() || listener == gateway.listeners.end())
      continue;
    const auto& addresses =
        gateway.status_addresses.empty() ? gateway.spec_addresses : gateway.status_addresses;
    for (const GatewayAddressSpec& address : addresses) {
      Workload workload = make_workload(world, gateway, network, address, listener->port);
      world.network_gateways.emplace(network, to_address(workload, listener->port));
      world.mesh.workloads.push_back(std::move(workload));
    }
  }
}

}  // namespace ambientd::config::kubernetes
