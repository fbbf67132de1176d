// SPDX-License-Identifier: Apache-2.0
#include "policy/l7_authorization.h"

#include <fmt/format.h>

#include "policy/l7_match.h"

namespace ambientd::policy {
namespace {

using Action = L7Authorization::Action;
using Policies = std::span<const std::shared_ptr<const L7Authorization>>;

std::string key(const L7Authorization& policy) { return policy.ns + "/" + policy.name; }

// The first rule that matches, as its index.
std::optional<size_t> matching_rule(const L7Authorization& policy, const Request& request) {
  for (size_t i = 0; i < policy.rules.size(); i++)
    if (rule_matches(policy.rules[i], policy.action, request)) return i;
  return {};
}

struct Found {
  bool exists = false;                      // some policy has the action
  const L7Authorization* policy = nullptr;  // the first that matches
  size_t rule = 0;
};

Found find(Policies policies, Action action, const Request& request) {
  Found found;
  for (const std::shared_ptr<const L7Authorization>& policy : policies) {
    if (policy->action != action || policy->dry_run) continue;
    found.exists = true;
    std::optional<size_t> rule = matching_rule(*policy, request);
    if (rule) return {true, policy.get(), *rule};
  }
  return found;
}

L7Verdict denied_by(const Found& found) {
  return {false, key(*found.policy),
          fmt::format("rbac_access_denied_matched_policy[ns[{}]-policy[{}]-rule[{}]]", found.policy->ns,
                      found.policy->name, found.rule)};
}

void shadow(Policies policies, const Request& request, std::vector<DryRun>& out) {
  bool allow_exists = false, allow_matches = false;
  for (const std::shared_ptr<const L7Authorization>& policy : policies) {
    if (!policy->dry_run || policy->action == Action::audit) continue;
    bool match = matching_rule(*policy, request).has_value(), allow = policy->action == Action::allow;
    if (match) out.push_back({key(*policy), !allow});
    allow_exists |= allow;
    allow_matches |= allow && match;
  }
  if (allow_exists && !allow_matches) out.push_back({"", true});
}

}  // namespace

StringMatch parse_string_match(std::string_view text) {
  using Kind = StringMatch::Kind;
  if (text == "*") return {Kind::presence, ""};
  if (text.starts_with('*')) return {Kind::suffix, std::string(text.substr(1))};
  if (text.ends_with('*')) return {Kind::prefix, std::string(text.substr(0, text.size() - 1))};
  return {Kind::exact, std::string(text)};
}

L7Verdict judge(Policies policies, const Request& request, std::vector<DryRun>* dry_runs) {
  if (dry_runs) shadow(policies, request, *dry_runs);
  for (Action action : {Action::custom, Action::deny}) {
    Found denial = find(policies, action, request);
    if (denial.policy) return denied_by(denial);
  }
  Found allow = find(policies, Action::allow, request);
  if (!allow.exists) return {true, "", ""};
  if (allow.policy) return {true, key(*allow.policy), ""};
  return {false, "", "rbac_access_denied_matched_policy[none]"};
}

}  // namespace ambientd::policy
