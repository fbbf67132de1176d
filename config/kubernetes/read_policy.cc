// SPDX-License-Identifier: Apache-2.0
// AuthorizationPolicy (contract/waypoint.md §2.5, contract/kubernetes.md §8). A policy is read once into the
// L7 form, the richer of the two; derive_l4_policies makes the L4 form out of it.
#include <fmt/format.h>

#include <algorithm>

#include "config/kubernetes/read.h"
#include "core/text.h"
#include "policy/path_template.h"

namespace ambientd::config::kubernetes {
namespace {

using policy::Condition;

// The values of a list that is there: an empty one would be no constraint at all, so it is refused.
std::vector<Field> values_of(const Field& list) {
  std::vector<Field> out = list.each();
  if (list && out.empty() && list.is(Value::Kind::list)) list.error("must not be empty");
  return out;
}

std::vector<policy::StringMatch> read_strings(const Field& list) {
  std::vector<policy::StringMatch> out;
  for (const Field& value : values_of(list)) {
    std::string text = value.text();
    if (text.empty()) value.error("must not be empty");
    out.push_back(policy::parse_string_match(text));
  }
  return out;
}

std::vector<Cidr> read_cidrs(const Field& list) {
  std::vector<Cidr> out;
  for (const Field& value : values_of(list))
    if (std::optional<Cidr> cidr = value.cidr()) out.push_back(*cidr);
  return out;
}

std::vector<uint16_t> read_ports(const Field& list) {  // of numbers in quotes
  std::vector<uint16_t> out;
  for (const Field& value : values_of(list)) {
    std::optional<uint64_t> port = parse_uint(value.text());
    if (!port || *port == 0 || *port > 65535)
      value.error("must be a port from 1 to 65535");
    else
      out.push_back(static_cast<uint16_t>(*port));
  }
  return out;
}

// `ns/sa`, or `sa` in the policy's own namespace; exact only.
std::vector<policy::ServiceAccountMatch> read_accounts(const Field& list, std::string_view ns) {
  std::vector<policy::ServiceAccountMatch> out;
  for (const Field& value : values_of(list)) {
    std::string text = value.text();
    std::vector<std::string_view> parts = split(text, '/');
    if (parts.size() == 1) parts.insert(parts.begin(), ns);
    if (parts.size() != 2 || parts[0].empty() || parts[1].empty() || text.contains('*'))
      value.error("must be namespace/serviceaccount, without wildcards");
    else
      out.push_back({std::string(parts[0]), std::string(parts[1])});
  }
  return out;
}

policy::StringList read_string_list(const Field& at, std::string_view values, std::string_view not_values) {
  return {read_strings(at[values]), read_strings(at[not_values])};
}

policy::CidrList read_cidr_list(const Field& at, std::string_view values, std::string_view not_values) {
  return {read_cidrs(at[values]), read_cidrs(at[not_values])};
}

void refuse(const Field& field, std::string_view why) {
  if (!field) return;
  field.error(fmt::format("is not supported: {}", why));
  field.ignore();
}

policy::Source read_source(const Field& at, std::string_view ns) {
  policy::Source out;
  out.principals = read_string_list(at, "principals", "notPrincipals");
  out.request_principals = read_string_list(at, "requestPrincipals", "notRequestPrincipals");
  out.namespaces = read_string_list(at, "namespaces", "notNamespaces");
  out.service_accounts = read_accounts(at["serviceAccounts"], ns);
  out.not_service_accounts = read_accounts(at["notServiceAccounts"], ns);
  out.ip_blocks = read_cidr_list(at, "ipBlocks", "notIpBlocks");
  out.remote_ip_blocks = read_cidr_list(at, "remoteIpBlocks", "notRemoteIpBlocks");
  for (std::string_view key : {"trustDomains", "notTrustDomains"})
    refuse(at[key], "write the trust domain into principals");
  if (at && at.blank()) at.error("names nothing to match");
  return out;
}

// A template that is not one would match nothing, and a DENY with it would let everything through.
void check_templates(const Field& paths) {
  for (const Field& path : values_of(paths)) {
    std::string text = path.text();
    if (text.find_first_of("{}") != text.npos && !policy::is_valid_template(text))
      path.error(
          "is not a path template: write {*} for one segment, {**} for any number, nothing beside them");
  }
}

policy::Operation read_operation(const Field& at) {
  policy::Operation out;
  out.hosts = read_string_list(at, "hosts", "notHosts");
  out.methods = read_string_list(at, "methods", "notMethods");
  check_templates(at["paths"]);
  check_templates(at["notPaths"]);
  out.paths = read_string_list(at, "paths", "notPaths");
  out.ports = read_ports(at["ports"]);
  out.not_ports = read_ports(at["notPorts"]);
  if (at && at.blank()) at.error("names nothing to match");
  return out;
}

struct NamedKey {
  std::string_view name;
  Condition::Key key;
};

constexpr NamedKey kKeys[] = {
    {"source.ip", Condition::Key::source_ip},
    {"remote.ip", Condition::Key::remote_ip},
    {"source.namespace", Condition::Key::source_namespace},
    {"source.principal", Condition::Key::source_principal},
    {"source.serviceAccount", Condition::Key::source_service_account},
    {"request.auth.principal", Condition::Key::request_principal},
    {"request.auth.audiences", Condition::Key::request_audiences},
    {"request.auth.presenter", Condition::Key::request_presenter},
    {"request.auth.claims", Condition::Key::request_claim},
    {"request.headers", Condition::Key::request_header},
    {"destination.ip", Condition::Key::destination_ip},
    {"destination.port", Condition::Key::destination_port},
    {"connection.sni", Condition::Key::connection_sni},
};

// The parts of `[a][b]`; nothing when it is not in that form.
std::optional<std::vector<std::string>> read_brackets(std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    size_t end = text.find(']');
    if (text[0] != '[' || end == text.npos || end == 1) return {};
    parts.emplace_back(text.substr(1, end - 1));
    text.remove_prefix(end + 1);
  }
  return parts;
}

bool takes_path(Condition::Key key) {
  return key == Condition::Key::request_claim || key == Condition::Key::request_header;
}

// Fields that are not there any more when a policy is judged: a condition on one would never match.
bool can_be_seen(std::string_view header) {
  constexpr std::string_view kGone[] = {"connection",        "keep-alive", "proxy-connection",
                                        "transfer-encoding", "upgrade",    "x-forwarded-client-cert"};
  if (header.starts_with(':')) return header == ":method" || header == ":authority";
  return std::ranges::find(kGone, header) == std::end(kGone);
}

// Fills key and path; false when there is no such key.
bool read_key(std::string_view text, Condition* out) {
  std::string_view name = text.substr(0, text.find('['));
  auto known = std::ranges::find(kKeys, name, &NamedKey::name);
  std::optional<std::vector<std::string>> path = read_brackets(text.substr(name.size()));
  if (known == std::end(kKeys) || !path || path->empty() == takes_path(known->key)) return false;
  out->key = known->key;
  out->path = std::move(*path);
  if (out->key != Condition::Key::request_header) return true;
  out->path[0] = to_lower(out->path[0]);
  return out->path.size() == 1 && can_be_seen(out->path[0]);
}

void read_values(const Field& at, Condition* out) {
  switch (out->key) {
    case Condition::Key::source_ip:
    case Condition::Key::remote_ip:
    case Condition::Key::destination_ip:
      out->cidrs = read_cidr_list(at, "values", "notValues");
      return;
    case Condition::Key::destination_port:
      out->ports = read_ports(at["values"]);
      out->not_ports = read_ports(at["notValues"]);
      return;
    case Condition::Key::source_namespace:
    case Condition::Key::source_principal:
    case Condition::Key::source_service_account:
    case Condition::Key::request_principal:
    case Condition::Key::request_audiences:
    case Condition::Key::request_presenter:
    case Condition::Key::request_claim:
    case Condition::Key::request_header:
    case Condition::Key::connection_sni:
      out->strings = read_string_list(at, "values", "notValues");
      return;
  }
}

// `sa` alone means the policy's own namespace here too.
void complete_accounts(std::vector<policy::StringMatch>& accounts, std::string_view ns) {
  for (policy::StringMatch& account : accounts)
    if (account.kind == policy::StringMatch::Kind::exact && !account.value.contains('/'))
      account.value = std::string(ns) + "/" + account.value;
}

std::optional<Condition> read_condition(const Field& at, std::string_view ns) {
  Condition out;
  std::string key = at.need_text("key");
  if (!read_key(key, &out)) {
    if (!key.empty()) at["key"].error(quoted(key) + " is not a condition this policy can be judged by");
    at.ignore();
    return {};
  }
  read_values(at, &out);
  if (!at["values"] && !at["notValues"]) at.error("needs values or notValues");
  if (out.key == Condition::Key::source_service_account) {
    complete_accounts(out.strings.values, ns);
    complete_accounts(out.strings.not_values, ns);
  }
  return out;
}

policy::L7Rule read_rule(const Field& at, std::string_view ns) {
  policy::L7Rule out;
  for (const Field& from : values_of(at["from"])) out.from.push_back(read_source(from.need("source"), ns));
  for (const Field& to : values_of(at["to"])) out.to.push_back(read_operation(to.need("operation")));
  for (const Field& when : values_of(at["when"]))
    if (std::optional<Condition> condition = read_condition(when, ns))
      out.when.push_back(std::move(*condition));
  return out;
}

bool is_dry_run(const Meta& meta) {  // Go's ParseBool; what does not parse is enforced
  auto at = meta.annotations.find("istio.io/dry-run");
  constexpr std::string_view kTrue[] = {"1", "t", "T", "true", "TRUE", "True"};
  return at != meta.annotations.end() && std::ranges::find(kTrue, at->second) != std::end(kTrue);
}

}  // namespace

void read_targets(const Field& spec, const Meta& meta, Selector* selector, std::vector<Reference>* targets) {
  std::vector<Field> fields = spec["targetRefs"].each();
  if (spec["targetRef"]) fields.push_back(spec["targetRef"]);
  for (const Field& target : fields) {
    targets->push_back(read_reference(target, meta));
    if (targets->back().ns != meta.ns) target["namespace"].error("must be the policy's own");
    target.need_text("kind");
  }
  *selector = read_match_labels(spec["selector"]);
  if (spec["selector"] && !targets->empty()) spec["selector"].error("cannot stand beside targetRefs");
}

void read_authorization_policy(Meta meta, const Field& root, Objects* out) {
  Policy policy;
  policy.meta = std::move(meta);
  policy.dry_run = is_dry_run(policy.meta);
  Field spec = root["spec"];
  using Action = Policy::Action;
  policy.action = spec["action"].choice<Action>({{"ALLOW", Action::allow},
                                                 {"DENY", Action::deny},
                                                 {"AUDIT", Action::audit},
                                                 {"CUSTOM", Action::custom}},
                                                Action::allow);
  read_targets(spec, policy.meta, &policy.selector, &policy.targets);
  for (const Field& rule : spec["rules"].each()) policy.rules.push_back(read_rule(rule, policy.meta.ns));
  if (policy.action == Action::custom) {
    spec["provider"].ignore();
    if (policy.targets.empty())
      spec["action"].error("CUSTOM is not supported without targetRefs: nothing would enforce it");
    else
      spec["action"].warn("CUSTOM has no provider yet: what it matches is denied");
  }
  spec.refuse_unknown();
  out->policies.push_back(std::move(policy));
}

}  // namespace ambientd::config::kubernetes
