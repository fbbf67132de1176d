// SPDX-License-Identifier: Apache-2.0
// AuthorizationPolicies without targetRefs: what ztunnel enforces at the destination (contract/kubernetes.md
// §8). L7 conditions cannot be judged there. Dropping one may only make a policy stricter: an ALLOW rule with
// one is dropped whole, a DENY rule keeps the rest of its conditions. Where nothing would be left the file is
// refused.
#include <fmt/format.h>

#include <algorithm>

#include "config/kubernetes/derive.h"

namespace ambientd::config::kubernetes {
namespace {

using policy::Condition;
using policy::Match;

bool asks_l7(const policy::Operation& op) {
  return !op.hosts.empty() || !op.methods.empty() || !op.paths.empty();
}

bool asks_l7(const policy::Source& source) {
  return !source.request_principals.empty() || !source.remote_ip_blocks.empty();
}

bool asks_l7(const Condition& condition) {
  switch (condition.key) {
    case Condition::Key::source_ip:
    case Condition::Key::source_namespace:
    case Condition::Key::source_principal:
    case Condition::Key::destination_ip:
    case Condition::Key::destination_port:
      return false;
    case Condition::Key::remote_ip:
    case Condition::Key::source_service_account:
    case Condition::Key::request_principal:
    case Condition::Key::request_audiences:
    case Condition::Key::request_presenter:
    case Condition::Key::request_claim:
    case Condition::Key::request_header:
    case Condition::Key::connection_sni:
      return true;
  }
  return true;
}

bool asks_l7(const policy::L7Rule& rule) {
  auto any = [](const auto& list) {
    return std::ranges::any_of(list, [](const auto& x) { return asks_l7(x); });
  };
  return any(rule.from) || any(rule.to) || any(rule.when);
}

Match to_match(const policy::Operation& op) {
  Match out;
  out.destination_ports = op.ports;
  out.not_destination_ports = op.not_ports;
  return out;
}

Match to_match(const policy::Source& source) {
  Match out;
  out.namespaces = source.namespaces.values;
  out.not_namespaces = source.namespaces.not_values;
  out.service_accounts = source.service_accounts;
  out.not_service_accounts = source.not_service_accounts;
  out.principals = source.principals.values;
  out.not_principals = source.principals.not_values;
  out.source_ips = source.ip_blocks.values;
  out.not_source_ips = source.ip_blocks.not_values;
  return out;
}

Match to_match(const Condition& condition) {
  Match out;
  if (condition.key == Condition::Key::source_namespace) {
    out.namespaces = condition.strings.values;
    out.not_namespaces = condition.strings.not_values;
  } else if (condition.key == Condition::Key::source_principal) {
    out.principals = condition.strings.values;
    out.not_principals = condition.strings.not_values;
  } else if (condition.key == Condition::Key::source_ip) {
    out.source_ips = condition.cidrs.values;
    out.not_source_ips = condition.cidrs.not_values;
  } else if (condition.key == Condition::Key::destination_ip) {
    out.destination_ips = condition.cidrs.values;
    out.not_destination_ips = condition.cidrs.not_values;
  } else if (condition.key == Condition::Key::destination_port) {
    out.destination_ports = condition.ports;
    out.not_destination_ports = condition.not_ports;
  }
  return out;
}

template <class List>
policy::Clause to_clause(const List& list) {
  policy::Clause out;
  for (const auto& entry : list) out.push_back(to_match(entry));
  return out;
}

policy::Rule to_rule(const policy::L7Rule& from) {
  policy::Rule out;
  if (!from.to.empty()) out.push_back(to_clause(from.to));
  if (!from.from.empty()) out.push_back(to_clause(from.from));
  for (const Condition& condition : from.when)
    if (!asks_l7(condition)) out.push_back({to_match(condition)});
  return out;
}

// An entry of which nothing is left would never match, and a rule of which nothing is left always.
bool lost_a_condition(const policy::Rule& rule) {
  if (rule.empty()) return true;
  return std::ranges::any_of(
      rule, [](const policy::Clause& clause) { return std::ranges::find(clause, Match{}) != clause.end(); });
}

// The rule as L4 can judge it; nothing when it is left out (and a problem says so).
std::optional<policy::Rule> convert(const World& world, const Policy& policy, size_t index) {
  const policy::L7Rule& rule = policy.rules[index];
  if (!asks_l7(rule)) return to_rule(rule);
  if (policy.action == Policy::Action::allow) {
    world.warn(policy.meta,
               fmt::format("spec.rules[{}] holds L7 conditions, which need a waypoint (targetRefs): "
                           "without one this rule allows nothing",
                           index));
    return {};
  }
  policy::Rule out = to_rule(rule);
  if (lost_a_condition(out)) {
    world.report(
        Severity::error, policy.meta,
        fmt::format("spec.rules[{}] denies by L7 conditions alone, which nothing but a waypoint can judge: "
                    "attach the policy with targetRefs",
                    index));
    return {};
  }
  world.warn(policy.meta,
             fmt::format("spec.rules[{}] holds L7 conditions, which need a waypoint (targetRefs): without "
                         "one it denies whatever meets the others",
                         index));
  return out;
}

policy::Authorization::Scope scope_of(const World& world, const Policy& policy) {
  if (policy.selector.present) return policy::Authorization::Scope::workload_selector;
  return policy.meta.ns == world.mesh.root_namespace ? policy::Authorization::Scope::global
                                                     : policy::Authorization::Scope::ns;
}

policy::Authorization convert(const World& world, const Policy& policy) {
  policy::Authorization out;
  out.name = policy.meta.name;
  out.ns = policy.meta.ns;
  out.scope = scope_of(world, policy);
  out.dry_run = policy.dry_run;
  if (policy.action == Policy::Action::deny) out.action = policy::Authorization::Action::deny;
  for (size_t i = 0; i < policy.rules.size(); ++i)
    if (std::optional<policy::Rule> rule = convert(world, policy, i)) out.rules.push_back(std::move(*rule));
  return out;
}

void add_matching(const World& world, std::string_view ns, const Labels& labels,
                  std::vector<std::string>* out) {
  auto at = world.selecting.find(ns);
  if (at == world.selecting.end()) return;
  for (const Policy* policy : at->second)
    if (subset(policy->selector.labels, labels)) out->push_back(policy->meta.key());
}

}  // namespace

void derive_l4_policies(World& world) {
  for (const Policy& policy : world.objects.policies) {
    if (!policy.targets.empty() || policy.action == Policy::Action::custom) continue;
    if (policy.action == Policy::Action::audit) {
      world.warn(policy.meta, "action AUDIT has no effect without targetRefs");
      continue;
    }
    if (policy.selector.present) world.selecting[policy.meta.ns].push_back(&policy);
    world.mesh.policies.push_back(convert(world, policy));
  }
}

std::vector<std::string> policies_of(const World& world, std::string_view ns, const Labels& labels) {
  std::vector<std::string> out;
  add_matching(world, ns, labels, &out);
  if (ns != world.mesh.root_namespace) add_matching(world, world.mesh.root_namespace, labels, &out);
  std::ranges::sort(out);
  std::vector<std::string> peer = peer_policies_of(world, ns, labels);
  out.insert(out.end(), peer.begin(), peer.end());
  return out;
}

}  // namespace ambientd::config::kubernetes
