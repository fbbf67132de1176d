// SPDX-License-Identifier: Apache-2.0
#include "config/kubernetes/read_route.h"

#include <algorithm>
#include <utility>

#include "config/kubernetes/read.h"
#include "core/text.h"

namespace ambientd::config::kubernetes {

bool is_token(std::string_view text) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::ranges::all_of(text, [&](unsigned char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           kMarks.contains(static_cast<char>(c));
  });
}

std::string read_header_name(const Field& field) {
  std::string name = field.text();
  if (!is_token(name)) field.error("must be a header name, not " + quoted(name));
  return to_lower(name);
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

RouteBackend read_route_backend(const Field& field, const Meta& meta) {
  RouteBackend out;
  out.target = read_reference(field, meta);
  if (out.target.kind.empty()) out.target.kind = "Service";
  out.weight = static_cast<uint32_t>(field["weight"].number(0, 1'000'000).value_or(1));
  Field filters = field["filters"];
  out.filters = read_filters(filters);
  if (out.filters.redirect || out.filters.cors || out.filters.rewrite != Rewrite{}) {
    filters.warn("a backend's filters can only modify headers: its share is answered 500");
    out.filters.refused = true;
  }
  if (out.filters.refused) out.target.kind.clear();
  return out;
}

std::vector<Reference> read_route_parents(const Field& spec, const Meta& meta) {
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

}  // namespace ambientd::config::kubernetes
