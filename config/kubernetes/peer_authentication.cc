// SPDX-License-Identifier: Apache-2.0
// PeerAuthentication as L4 policies that deny peers without an identity (contract/kubernetes.md §9). The mode
// of every port is worked out once; both the policy and the list of workloads it acts on come from that, so
// the two cannot disagree.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "config/kubernetes/derive.h"

namespace ambientd::config::kubernetes {
namespace {

using Mode = PeerAuthentication::Mode;

bool older(const PeerAuthentication* a, const PeerAuthentication* b) {
  return std::tie(a->meta.created, a->meta.ns, a->meta.name) <
         std::tie(b->meta.created, b->meta.ns, b->meta.name);
}

// The oldest that `fits`; null when there is none.
template <class Fits>
const PeerAuthentication* oldest(const World& world, Fits fits) {
  const PeerAuthentication* best = nullptr;
  for (const PeerAuthentication& candidate : world.objects.peer_authentications)
    if (fits(candidate) && (best == nullptr || older(&candidate, best))) best = &candidate;
  return best;
}

const PeerAuthentication* for_namespace(const World& world, std::string_view ns) {
  return oldest(world,
                [&](const PeerAuthentication& pa) { return pa.meta.ns == ns && !pa.selector.present; });
}

const PeerAuthentication* for_workload(const World& world, std::string_view ns, const Labels& labels) {
  if (ns == world.mesh.root_namespace) return nullptr;
  return oldest(world, [&](const PeerAuthentication& pa) {
    return pa.meta.ns == ns && pa.selector.present && subset(pa.selector.labels, labels);
  });
}

bool is_strict(Mode mode, bool inherited) { return mode == Mode::unset ? inherited : mode == Mode::strict; }

bool strict_by(const PeerAuthentication* pa, bool inherited) {
  return pa == nullptr ? inherited : is_strict(pa->mode, inherited);
}

bool namespace_is_strict(const World& world, std::string_view ns) {
  bool mesh = strict_by(for_namespace(world, world.mesh.root_namespace), false);
  return strict_by(for_namespace(world, ns), mesh);
}

// What one selecting PeerAuthentication comes to in its namespace.
struct Effective {
  bool strict = false;               // every port not in `others`
  std::vector<uint16_t> exceptions;  // ports that are the opposite, ascending
};

Effective effective(const World& world, const PeerAuthentication& pa) {
  Effective out;
  out.strict = is_strict(pa.mode, namespace_is_strict(world, pa.meta.ns));
  for (const auto& [port, mode] : pa.ports)
    if (is_strict(mode, out.strict) != out.strict) out.exceptions.push_back(port);
  return out;
}

std::string static_key(const World& world) {
  return world.mesh.root_namespace + "/istio_converted_static_strict";
}

std::string converted_name(const PeerAuthentication& pa) {
  return "converted_peer_authentication_" + pa.meta.name;
}

policy::Match no_identity() {
  policy::Match out;
  out.not_principals = {{policy::StringMatch::Kind::presence, ""}};
  return out;
}

policy::Authorization deny(std::string ns, std::string name) {
  policy::Authorization out;
  out.ns = std::move(ns);
  out.name = std::move(name);
  out.scope = policy::Authorization::Scope::workload_selector;
  out.action = policy::Authorization::Action::deny;
  return out;
}

// Strict but for some ports: no identity, and none of those ports.
policy::Rule strict_except(const PeerAuthentication& pa, const std::vector<uint16_t>& ports) {
  policy::Rule rule;
  for (uint16_t port : ports) {
    policy::Match other_port;
    other_port.not_destination_ports = {port};
    rule.push_back({other_port});
  }
  rule.insert(pa.mode == Mode::strict ? rule.begin() : rule.end(), {no_identity()});
  return rule;
}

policy::Rule strict_on(uint16_t port) {
  policy::Match match = no_identity();
  match.destination_ports = {port};
  return {{match}};
}

policy::Authorization convert(const PeerAuthentication& pa, const Effective& modes) {
  policy::Authorization out = deny(pa.meta.ns, converted_name(pa));
  if (modes.strict)
    out.rules.push_back(strict_except(pa, modes.exceptions));
  else
    for (uint16_t port : modes.exceptions) out.rules.push_back(strict_on(port));
  return out;
}

}  // namespace

void derive_peer_policies(World& world) {
  if (world.objects.peer_authentications.empty()) return;
  policy::Authorization everywhere = deny(world.mesh.root_namespace, "istio_converted_static_strict");
  everywhere.rules = {{{no_identity()}}};
  world.mesh.policies.push_back(std::move(everywhere));
  for (const PeerAuthentication& pa : world.objects.peer_authentications) {
    if (!pa.selector.present) continue;
    if (pa.meta.ns == world.mesh.root_namespace) {
      world.warn(pa.meta, "has no effect: in the root namespace a selector is not looked at");
      continue;
    }
    Effective modes = effective(world, pa);
    if (!modes.exceptions.empty()) world.mesh.policies.push_back(convert(pa, modes));
  }
}

std::vector<std::string> peer_policies_of(const World& world, std::string_view ns, const Labels& labels) {
  const PeerAuthentication* own = for_workload(world, ns, labels);
  Effective modes = own ? effective(world, *own) : Effective{namespace_is_strict(world, ns), {}};
  if (!modes.exceptions.empty()) return {own->meta.ns + "/" + converted_name(*own)};
  if (modes.strict) return {static_key(world)};
  return {};
}

}  // namespace ambientd::config::kubernetes
