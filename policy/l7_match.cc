// SPDX-License-Identifier: Apache-2.0
#include "policy/l7_match.h"

#include <algorithm>
#include <array>
#include <optional>

#include "core/text.h"
#include "policy/path_template.h"

namespace ambientd::policy {
namespace {

using Action = L7Authorization::Action;
using Key = Condition::Key;

bool text_matches(const StringMatch& match, std::string_view text) { return match.matches(text); }

bool path_matches(const StringMatch& match, std::string_view path) {
  if (match.kind == StringMatch::Kind::exact && is_path_template(match.value))
    return template_matches(match.value, path);
  return match.matches(path);
}

bool host_matches(const StringMatch& match, std::string_view host) {
  return StringMatch{match.kind, to_lower(match.value)}.matches(to_lower(host));
}

// `iss/sub` is split at its last slash, and the two halves are compared by themselves: `https://a/*` is any
// subject of the issuer https://a, and no subject of https://a/b (contract/waypoint.md §2.5). Without a
// slash a prefix is of the issuer and a suffix of the subject.
bool request_principal_matches(const StringMatch& match, std::string_view issuer, std::string_view subject) {
  using Kind = StringMatch::Kind;
  if (issuer.empty() || subject.empty()) return false;
  std::string_view value = match.value;
  size_t slash = value.rfind('/');
  std::string_view first = value.substr(0, slash);
  std::string_view last = slash == value.npos ? std::string_view() : value.substr(slash + 1);
  switch (match.kind) {
    case Kind::presence:
      return true;
    case Kind::exact:
      return slash != value.npos && issuer == first && subject == last;
    case Kind::prefix:
      if (slash == value.npos) return issuer.starts_with(value);
      return issuer == first && subject.starts_with(last);
    case Kind::suffix:
      if (slash == value.npos) return subject.ends_with(value);
      return issuer.ends_with(first) && subject == last;
  }
  return false;
}

// A field with any number of values, each judged by itself, never joined (CVE-2026-26308): some value is
// wanted, and no value is unwanted. With no value nothing wanted is there and nothing unwanted either.
template <class Accepts = decltype(text_matches)>
bool list_matches(const StringList& list, std::span<const std::string_view> values,
                  const Accepts& accepts = text_matches) {
  auto any = [&](const std::vector<StringMatch>& matches) {
    return std::ranges::any_of(matches, [&](const StringMatch& match) {
      return std::ranges::any_of(values, [&](std::string_view value) { return accepts(match, value); });
    });
  };
  return (list.values.empty() || any(list.values)) && !any(list.not_values);
}

template <class Accepts = decltype(text_matches)>
bool value_matches(const StringList& list, std::string_view value, const Accepts& accepts = text_matches) {
  return list_matches(list, std::array{value}, accepts);
}

// The same for a value that may be absent: then nothing matches it, not even an empty exact.
bool optional_matches(const StringList& list, const std::optional<std::string>& value) {
  if (!value) return list.values.empty();
  return value_matches(list, *value);
}

bool cidr_matches(const CidrList& list, const Ip& ip) {
  auto in = [&](const Cidr& cidr) { return cidr.contains(ip); };
  return (list.values.empty() || std::ranges::any_of(list.values, in)) &&
         std::ranges::none_of(list.not_values, in);
}

bool port_matches(const std::vector<uint16_t>& ports, const std::vector<uint16_t>& not_ports, uint16_t port) {
  return (ports.empty() || std::ranges::find(ports, port) != ports.end()) &&
         std::ranges::find(not_ports, port) == not_ports.end();
}

// Compared byte for byte: a dot in a name is a dot (CVE-2026-39350).
bool service_account_matches(const Source& source, const std::optional<Identity>& identity) {
  auto is = [&](const ServiceAccountMatch& one) {
    return identity && one.ns == identity->ns && one.sa == identity->sa;
  };
  return (source.service_accounts.empty() || std::ranges::any_of(source.service_accounts, is)) &&
         std::ranges::none_of(source.not_service_accounts, is);
}

std::optional<std::string> principal_of(const Request& request) {
  if (!request.identity) return {};
  return request.identity->principal();
}

std::optional<std::string> namespace_of(const Request& request) {
  if (!request.identity) return {};
  return request.identity->ns;
}

std::optional<std::string> service_account_of(const Request& request) {
  if (!request.identity) return {};
  return request.identity->ns + "/" + request.identity->sa;
}

bool principals_match(const StringList& list, const Request& request) {
  auto is = [&](const StringMatch& match) {
    return request_principal_matches(match, request.issuer, request.subject);
  };
  return (list.values.empty() || std::ranges::any_of(list.values, is)) &&
         std::ranges::none_of(list.not_values, is);
}

std::vector<std::string_view> claim_values(const Request& request, std::span<const std::string> path) {
  std::vector<std::string_view> out;
  for (const Claim& claim : request.claims)
    if (std::ranges::equal(claim.path, path)) out.push_back(claim.value);
  return out;
}

std::vector<std::string_view> claim_values(const Request& request, const char* name) {
  std::array<std::string, 1> path = {name};
  return claim_values(request, path);
}

std::vector<std::string_view> header_values(const Request& request, std::string_view name) {
  if (name == ":method") return {request.method};
  if (name == ":authority") return {request.host};
  std::vector<std::string_view> out;
  for (const auto& [key, value] : request.headers)
    if (key == name) out.push_back(value);
  return out;
}

bool source_matches(const Source& source, const Request& request) {
  bool token = !request.http || principals_match(source.request_principals, request);
  return token && optional_matches(source.principals, principal_of(request)) &&
         optional_matches(source.namespaces, namespace_of(request)) &&
         service_account_matches(source, request.identity) &&
         cidr_matches(source.ip_blocks, request.source) &&
         cidr_matches(source.remote_ip_blocks, request.remote.value_or(request.source));
}

bool operation_matches(const Operation& operation, const Request& request) {
  if (!port_matches(operation.ports, operation.not_ports, request.destination.port)) return false;
  if (!request.http) return true;
  return value_matches(operation.hosts, request.host, host_matches) &&
         value_matches(operation.methods, request.method) &&
         value_matches(operation.paths, request.path, path_matches);
}

bool is_l7_only(Key key) {
  switch (key) {
    case Key::request_principal:
    case Key::request_audiences:
    case Key::request_presenter:
    case Key::request_claim:
    case Key::request_header:
      return true;
    case Key::source_ip:
    case Key::remote_ip:
    case Key::source_namespace:
    case Key::source_principal:
    case Key::source_service_account:
    case Key::destination_ip:
    case Key::destination_port:
    case Key::connection_sni:
      return false;
  }
  return true;
}

bool condition_matches(const Condition& when, const Request& request) {
  if (is_l7_only(when.key) && !request.http) return true;
  switch (when.key) {
    case Key::source_ip:
      return cidr_matches(when.cidrs, request.source);
    case Key::remote_ip:
      return cidr_matches(when.cidrs, request.remote.value_or(request.source));
    case Key::source_namespace:
      return optional_matches(when.strings, namespace_of(request));
    case Key::source_principal:
      return optional_matches(when.strings, principal_of(request));
    case Key::source_service_account:
      return optional_matches(when.strings, service_account_of(request));
    case Key::request_principal:
      return principals_match(when.strings, request);
    case Key::request_audiences:
      return list_matches(when.strings, claim_values(request, "aud"));
    case Key::request_presenter:
      return list_matches(when.strings, claim_values(request, "azp"));
    case Key::request_claim:
      return list_matches(when.strings, claim_values(request, when.path));
    case Key::request_header:
      return !when.path.empty() && list_matches(when.strings, header_values(request, when.path.front()));
    case Key::destination_ip:
      return cidr_matches(when.cidrs, request.destination.ip);
    case Key::destination_port:
      return port_matches(when.ports, when.not_ports, request.destination.port);
    case Key::connection_sni:
      return value_matches(when.strings, request.sni);
  }
  return false;
}

bool has_l7_only_field(const L7Rule& rule) {
  auto source = [](const Source& one) { return !one.request_principals.empty(); };
  auto operation = [](const Operation& one) {
    return !one.hosts.empty() || !one.methods.empty() || !one.paths.empty();
  };
  auto condition = [](const Condition& one) { return is_l7_only(one.key); };
  return std::ranges::any_of(rule.from, source) || std::ranges::any_of(rule.to, operation) ||
         std::ranges::any_of(rule.when, condition);
}

}  // namespace

bool rule_matches(const L7Rule& rule, Action action, const Request& request) {
  if (!request.http && action == Action::allow && has_l7_only_field(rule)) return false;
  auto from = [&](const Source& one) { return source_matches(one, request); };
  auto to = [&](const Operation& one) { return operation_matches(one, request); };
  auto when = [&](const Condition& one) { return condition_matches(one, request); };
  return (rule.from.empty() || std::ranges::any_of(rule.from, from)) &&
         (rule.to.empty() || std::ranges::any_of(rule.to, to)) && std::ranges::all_of(rule.when, when);
}

}  // namespace ambientd::policy
