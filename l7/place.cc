// SPDX-License-Identifier: Apache-2.0
#include "l7/place.h"

#include <utility>

namespace ambientd::l7 {
namespace {

// Two picks, of which the less busy one counts (P2C).
std::optional<config::Choice> choose(const View& view, const config::Service& service, uint16_t port,
                                     const Picking& picking) {
  const config::Workload& self = *view.self->workload;
  auto pick = [&](uint64_t random) {
    return config::balance(*view.snapshot, service, port, self, config::Purpose::traffic, random,
                           picking.tried);
  };
  std::optional<config::Choice> first = pick(picking.dice.first);
  std::optional<config::Choice> second = first ? pick(picking.dice.second) : std::nullopt;
  if (!second || second->workload == first->workload) return first;
  return picking.load(*second->workload) < picking.load(*first->workload) ? second : first;
}

}  // namespace

std::optional<Placement> place(const View& view, const config::Service& service, uint16_t service_port,
                               const Ip& wanted, const Picking& picking) {
  std::optional<config::Choice> choice = choose(view, service, service_port, picking);
  // An address of another network is somebody else's in this one.
  if (!choice || choice->workload->network != view.self->workload->network) return {};
  Result<Ip> ip = config::destination_ip(*choice->workload, wanted, service.ip_families);
  if (!ip) return {};
  return place_direct({*ip, choice->port}, std::move(choice->workload));
}

Placement place_direct(const SockAddr& address, config::WorkloadPtr workload) {
  Placement out;
  out.to.address = address;
  if (workload->protocol == config::Tunnel::hbone) out.to.identity = workload->identity();
  out.endpoint = std::move(workload);
  return out;
}

}  // namespace ambientd::l7
