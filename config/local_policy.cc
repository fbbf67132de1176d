// SPDX-License-Identifier: Apache-2.0
#include "config/local.h"
#include "core/text.h"

namespace ambientd::config {
namespace {

using policy::StringMatch;
using Kind = StringMatch::Kind;

std::optional<Kind> kind_of(std::string_view word) {
  if (word == "Exact") return Kind::exact;
  if (word == "Prefix") return Kind::prefix;
  if (word == "Suffix") return Kind::suffix;
  if (word == "Presence") return Kind::presence;
  return {};
}

// A word that is the value's kind, and where the value stands. Three spellings: `!Exact x`, `{Exact: x}`, and
// `Presence`, which has no value.
std::optional<StringMatch> read_match(const Field& at) {
  std::string word, value;
  if (at.is(Value::Kind::map)) {
    std::vector<std::pair<std::string_view, Field>> entries = at.entries();
    if (entries.size() == 1) {
      word = entries[0].first;
      value = entries[0].second.text();
    }
  } else if (!at.tag().empty()) {
    word = at.tag().substr(1);
    value = at.text();
  } else {
    word = at.text() == "Presence" ? "Presence" : "";
  }
  std::optional<Kind> kind = kind_of(word);
  if (kind) return StringMatch{*kind, *kind == Kind::presence ? "" : value};
  at.error("must be !Exact, !Prefix or !Suffix with a text, or Presence");
  return {};
}

std::vector<StringMatch> read_strings(const Field& list) {
  std::vector<StringMatch> out;
  for (const Field& field : list.each())
    if (std::optional<StringMatch> match = read_match(field)) out.push_back(std::move(*match));
  return out;
}

std::vector<Cidr> read_cidrs(const Field& list) {
  std::vector<Cidr> out;
  for (const Field& field : list.each())
    if (std::optional<Cidr> cidr = field.cidr()) out.push_back(*cidr);
  return out;
}

std::vector<uint16_t> read_ports(const Field& list) {
  std::vector<uint16_t> out;
  for (const Field& field : list.each())
    if (std::optional<uint16_t> port = field.port()) out.push_back(*port);
  return out;
}

std::vector<policy::ServiceAccountMatch> read_accounts(const Field& list) {
  std::vector<policy::ServiceAccountMatch> out;
  for (const Field& field : list.each())
    out.push_back({field.need_text("namespace"), field.need_text("serviceAccount")});
  return out;
}

policy::Match read_attributes(const Field& at) {
  policy::Match out;
  out.namespaces = read_strings(at["namespaces"]);
  out.not_namespaces = read_strings(at["notNamespaces"]);
  out.service_accounts = read_accounts(at["serviceAccounts"]);
  out.not_service_accounts = read_accounts(at["notServiceAccounts"]);
  out.principals = read_strings(at["principals"]);
  out.not_principals = read_strings(at["notPrincipals"]);
  out.source_ips = read_cidrs(at["sourceIps"]);
  out.not_source_ips = read_cidrs(at["notSourceIps"]);
  out.destination_ips = read_cidrs(at["destinationIps"]);
  out.not_destination_ips = read_cidrs(at["notDestinationIps"]);
  out.destination_ports = read_ports(at["destinationPorts"]);
  out.not_destination_ports = read_ports(at["notDestinationPorts"]);
  return out;
}

policy::Clause read_clause(const Field& at) {
  policy::Clause out;
  for (const Field& match : at.each()) out.push_back(read_attributes(match));
  return out;
}

policy::Rule read_rule(const Field& at) {
  policy::Rule out;
  for (const Field& clause : at.each()) out.push_back(read_clause(clause));
  return out;
}

}  // namespace

policy::Authorization read_local_policy(const Field& at) {
  using Scope = policy::Authorization::Scope;
  using Action = policy::Authorization::Action;
  policy::Authorization out;
  out.name = at.need_text("name");
  out.ns = at.need("namespace").text();
  out.scope = at.need("scope").choice<Scope>(
      {{"Global", Scope::global}, {"Namespace", Scope::ns}, {"WorkloadSelector", Scope::workload_selector}},
      Scope::global);
  out.action =
      at.need("action").choice<Action>({{"Allow", Action::allow}, {"Deny", Action::deny}}, Action::deny);
  for (const Field& rule : at.need("rules").each()) out.rules.push_back(read_rule(rule));
  out.dry_run = at["dryRun"].flag();
  return out;
}

}  // namespace ambientd::config
