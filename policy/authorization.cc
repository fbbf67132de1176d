// SPDX-License-Identifier: Apache-2.0
#include "policy/authorization.h"

#include <algorithm>
#include <iterator>
#include <ranges>

namespace ambientd::policy {
namespace {

using Policies = std::span<const std::shared_ptr<const Authorization>>;

// One attribute: no positives or one that accepts, and no negative that accepts.
template <class T, class Accepts>
bool attribute(const std::vector<T>& positives, const std::vector<T>& negatives, Accepts accepts) {
  return (positives.empty() || std::ranges::any_of(positives, accepts)) &&
         std::ranges::none_of(negatives, accepts);
}

bool is_empty(const Match& m) {
  return m.namespaces.empty() && m.not_namespaces.empty() && m.service_accounts.empty() &&
         m.not_service_accounts.empty() && m.principals.empty() && m.not_principals.empty() &&
         m.source_ips.empty() && m.not_source_ips.empty() && m.destination_ips.empty() &&
         m.not_destination_ips.empty() && m.destination_ports.empty() && m.not_destination_ports.empty();
}

// Without an identity there is no principal and no service account, so nothing accepts; but the namespace is
// the empty text (contract/ztunnel.md §7).
bool matches_identity(const Match& m, const std::optional<Identity>& identity) {
  auto account = [&](const ServiceAccountMatch& one) {
    return identity && one.ns == identity->ns && one.sa == identity->sa;
  };
  std::string principal = identity ? identity->principal() : "";
  auto names_principal = [&](const StringMatch& one) { return identity && one.matches(principal); };
  std::string_view ns = identity ? std::string_view(identity->ns) : "";
  auto names_namespace = [&](const StringMatch& one) { return one.matches(ns); };
  return attribute(m.service_accounts, m.not_service_accounts, account) &&
         attribute(m.principals, m.not_principals, names_principal) &&
         attribute(m.namespaces, m.not_namespaces, names_namespace);
}

bool matches_addresses(const Match& m, const Peer& peer) {
  auto source = [&](const Cidr& one) { return one.contains(peer.source); };
  auto destination = [&](const Cidr& one) { return one.contains(peer.destination.ip); };
  auto port = [&](uint16_t one) { return one == peer.destination.port; };
  return attribute(m.source_ips, m.not_source_ips, source) &&
         attribute(m.destination_ips, m.not_destination_ips, destination) &&
         attribute(m.destination_ports, m.not_destination_ports, port);
}

bool matches_match(const Match& m, const Peer& peer) {
  return !is_empty(m) && matches_addresses(m, peer) && matches_identity(m, peer.identity);
}

bool matches_clause(const Clause& clause, const Peer& peer) {
  return clause.empty() ||
         std::ranges::any_of(clause, [&](const Match& m) { return matches_match(m, peer); });
}

bool matches_rule(const Rule& rule, const Peer& peer) {
  return std::ranges::all_of(rule, [&](const Clause& clause) { return matches_clause(clause, peer); });
}

// The enforced policies of one action, in their order.
auto enforced(Policies policies, Authorization::Action action) {
  return policies | std::views::filter([action](const std::shared_ptr<const Authorization>& p) {
           return p->action == action && !p->dry_run;
         });
}

const Authorization* first_match(auto&& policies, const Peer& peer) {
  for (const std::shared_ptr<const Authorization>& p : policies)
    if (matches(*p, peer)) return p.get();
  return nullptr;
}

std::vector<DryRun> shadow(Policies policies, const Peer& peer) {
  std::vector<DryRun> out;
  bool allow_exists = false, allow_matches = false;
  for (const std::shared_ptr<const Authorization>& p : policies) {
    if (!p->dry_run) continue;
    bool match = matches(*p, peer), deny = p->action == Authorization::Action::deny;
    if (match) out.push_back({p->key(), deny});
    allow_exists |= !deny;
    allow_matches |= !deny && match;
  }
  if (allow_exists && !allow_matches) out.push_back({"", true});
  return out;
}

}  // namespace

bool StringMatch::matches(std::string_view text) const {
  switch (kind) {
    case Kind::exact:
      return text == value;
    case Kind::prefix:
      return text.starts_with(value);
    case Kind::suffix:
      return text.ends_with(value);
    case Kind::presence:
      return !text.empty();
  }
  return false;
}

std::optional<size_t> matching_rule(const Authorization& policy, const Peer& peer) {
  auto found = std::ranges::find_if(policy.rules, [&](const Rule& rule) { return matches_rule(rule, peer); });
  if (found == policy.rules.end()) return {};
  return static_cast<size_t>(found - policy.rules.begin());
}

Verdict judge(Policies policies, std::span<const std::string> unknown, const Peer& peer,
              std::vector<DryRun>* dry_runs) {
  if (dry_runs) std::ranges::move(shadow(policies, peer), std::back_inserter(*dry_runs));
  if (const Authorization* deny = first_match(enforced(policies, Authorization::Action::deny), peer))
    return {false, deny->key(), "explicitly denied by: " + deny->key()};
  if (!unknown.empty())
    return {
        false, unknown.front(),
        "explicitly denied by: " + unknown.front() + " (a policy the workload names but nobody has sent)"};
  auto allows = enforced(policies, Authorization::Action::allow);
  if (allows.begin() == allows.end()) return {true, "", ""};
  if (const Authorization* allow = first_match(allows, peer)) return {true, allow->key(), ""};
  return {false, "", "allow policies exist, but none allowed"};
}

}  // namespace ambientd::policy
