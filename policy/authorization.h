// SPDX-License-Identifier: Apache-2.0
// L4 authorization as ztunnel enforces it: plain data and one pure judgement (contract/ztunnel.md §7).
// The rule nobody may break: what cannot be understood must make a policy stricter, never looser; whoever
// builds an Authorization (config/) refuses what it cannot express instead of dropping a constraint.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/ip.h"
#include "core/spiffe.h"

namespace ambientd::policy {

struct StringMatch {
  enum class Kind : uint8_t { exact, prefix, suffix, presence };
  Kind kind = Kind::exact;
  std::string value;  // empty for presence

  bool operator==(const StringMatch&) const = default;
  bool matches(std::string_view text) const;  // case-sensitive; presence = not empty
};

struct ServiceAccountMatch {
  std::string ns, sa;
  bool operator==(const ServiceAccountMatch&) const = default;
};

// All attributes AND; each is (no positives, or any matches) AND (no negative matches). A Match with no
// attribute at all is skipped: it does not match.
struct Match {
  std::vector<StringMatch> namespaces, not_namespaces;
  std::vector<ServiceAccountMatch> service_accounts, not_service_accounts;
  std::vector<StringMatch> principals, not_principals;
  std::vector<Cidr> source_ips, not_source_ips;
  std::vector<Cidr> destination_ips, not_destination_ips;
  std::vector<uint16_t> destination_ports, not_destination_ports;

  bool operator==(const Match&) const = default;
};

using Clause = std::vector<Match>;  // OR; an empty clause matches
using Rule = std::vector<Clause>;   // AND; an empty rule matches

struct Authorization {
  enum class Scope : uint8_t { global, ns, workload_selector };
  enum class Action : uint8_t { allow, deny };
  std::string name, ns;
  Scope scope = Scope::global;
  Action action = Action::allow;
  std::vector<Rule> rules;  // OR; no rules never match
  bool dry_run = false;

  bool operator==(const Authorization&) const = default;
  std::string key() const { return ns + "/" + name; }
};

// One connection as policy sees it. Without an identity `identity` is empty: positive principals fail and
// `not_principals: presence` matches, which is how STRICT is expressed.
struct Peer {
  std::optional<Identity> identity;
  Ip source;
  SockAddr destination;  // the address dialled at the pod: target port, not service port
};

struct Verdict {
  bool allow = false;
  // The policy that decided, as "ns/name"; empty when no policy applied or no allow policy matched.
  std::string policy;
  std::string reason;  // the operator's text of contract/ztunnel.md §4: `explicitly denied by: ns/name`
};

// A dry-run policy that matched; or, with an empty name and deny, that dry-run ALLOW policies exist and none
// of them matched.
struct DryRun {
  std::string policy;  // "ns/name"
  bool deny = false;   // what it would have said
};

// The first rule that matches, by its place; nothing: none does.
std::optional<size_t> matching_rule(const Authorization& policy, const Peer& peer);
inline bool matches(const Authorization& policy, const Peer& peer) {
  return matching_rule(policy, peer).has_value();
}

// Order: any enforced DENY that matches → deny; no ALLOW policy → allow; any ALLOW that matches → allow; else
// deny. `unknown` names policies the workload refers to that do not exist: they deny (contract/ztunnel.md
// §16.29 says what others do). Dry-run policies never decide; their outcomes are appended to *dry_runs where
// it is given.
Verdict judge(std::span<const std::shared_ptr<const Authorization>> policies,
              std::span<const std::string> unknown, const Peer& peer,
              std::vector<DryRun>* dry_runs = nullptr);

}  // namespace ambientd::policy
