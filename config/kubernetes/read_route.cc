// SPDX-License-Identifier: Apache-2.0
#include "config/kubernetes/read_route.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "config/kubernetes/read.h"
#include "core/duration.h"
#include "core/text.h"

namespace ambientd::config::kubernetes {
namespace {

constexpr std::chrono::hours kMaxTime{24 * 365};
constexpr size_t kMaxMatches = 128;  // of one rule: the API's own bound, with room

RouteBackend read_backend(const Field& field, const Meta& meta) {
  RouteBackend out;
  out.target = read_reference(field, meta);
  if (out.target.kind.empty()) out.target.kind = "Service";
  out.weight = static_cast<uint32_t>(field["weight"].number(0, 1'000'000).value_or(1));
  Field filters = field["filters"];
  out.filters = read_filters(filters);
  if (!out.filters.only_headers()) {
    filters.warn("a backend's filters can only modify headers: its share is answered 500");
    out.filters.refused = true;
  }
  if (out.filters.refused) out.target.kind.clear();
  return out;
}

std::vector<Reference> read_parents(const Field& spec, const Meta& meta) {
  std::vector<Reference> out;
  for (const Field& parent : spec["parentRefs"].each()) {
    Reference ref = read_reference(parent, meta);
    if (!parent["group"]) ref.group = "gateway.networking.k8s.io";
    if (ref.kind.empty()) ref.kind = "Gateway";
    out.push_back(std::move(ref));
  }
  if (Field hostnames = spec["hostnames"]; !hostnames.each().empty())
    hostnames.warn("has no effect on a route of a Service: the address called selects the service");
  spec["hostnames"].ignore();
  spec["useDefaultGateways"].ignore();
  return out;
}

}  // namespace

std::optional<uint64_t> read_time(const Field& field) {
  if (!field) return {};
  Result<std::chrono::nanoseconds> given = parse_duration(field.text());
  if (!given || *given > kMaxTime) {
    field.error("must be a duration like 10s or 500ms, not " + quoted(field.text()));
    return {};
  }
  return static_cast<uint64_t>(std::chrono::ceil<std::chrono::milliseconds>(*given).count());
}

std::optional<Regex> read_regex(const Field& field, std::string_view pattern) {
  std::optional<Regex> regex = Regex::compile(pattern);
  if (!regex) field.error("is not a regular expression of RE2, or too large: " + quoted(pattern));
  return regex;
}

std::vector<NamedMatch> read_named(const Field& list, bool headers) {
  std::vector<NamedMatch> out;
  for (const Field& field : list.each()) {
    NamedMatch match;
    Field name = field.need("name");
    match.name = headers && name ? read_header_name(name) : name.text();
    using Kind = StringMatch::Kind;
    match.text.value = field.need("value").text();
    match.text.kind =
        field["type"].choice<Kind>({{"Exact", Kind::exact}, {"RegularExpression", Kind::regex}}, Kind::exact);
    if (match.text.kind == Kind::regex) match.text.regex = read_regex(field["value"], match.text.value);
    if (std::ranges::find(out, match.name, &NamedMatch::name) == out.end()) out.push_back(std::move(match));
  }
  return out;
}

RouteRuleSpec read_route_rule(const Field& field, const Meta& meta, RouteMatch (*read_match)(const Field&)) {
  RouteRuleSpec out;
  out.name = field["name"].text();
  std::vector<Field> matches = field["matches"].each();
  if (matches.size() > kMaxMatches)
    field["matches"].error(fmt::format("holds more than {} matches", kMaxMatches));
  for (const Field& match : matches) out.matches.push_back(read_match(match));
  if (out.matches.empty()) out.matches.emplace_back();
  out.filters = read_filters(field["filters"]);
  for (const Field& backend : field["backendRefs"].each())
    out.backends.push_back(read_backend(backend, meta));
  Field session = field["sessionPersistence"];
  if (session) session.warn("is not supported yet and has no effect");
  session.ignore();
  return out;
}

Route read_route(Meta meta, const Field& root, RouteRuleSpec (*read_rule)(const Field&, const Meta&)) {
  Route out;
  Field spec = root["spec"];
  out.parents = read_parents(spec, meta);
  for (const Field& rule : spec["rules"].each()) out.rules.push_back(read_rule(rule, meta));
  spec.refuse_unknown();
  if (out.rules.empty()) out.rules.push_back({.matches = {RouteMatch{}}});
  out.meta = std::move(meta);
  return out;
}

}  // namespace ambientd::config::kubernetes
