// SPDX-License-Identifier: Apache-2.0
// GRPCRoute (contract/waypoint.md §2.1): a call's service and method are its path.
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "config/kubernetes/read.h"
#include "config/kubernetes/read_route.h"
#include "core/text.h"

namespace ambientd::config::kubernetes {
namespace {

constexpr size_t kMaxMatches = 128;  // of one rule: the API's own bound, with room

std::string read_name(const Field& field) {
  std::string name = field.text();
  bool good = std::ranges::all_of(name, [](unsigned char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '.';
  });
  if (!good) field.error("must be a name of letters, digits, _ and ., not " + quoted(name));
  return name;
}

PathMatch any_service(const Field& field, const std::string& service, const std::string& method) {
  auto part = [](const std::string& text) { return text.empty() ? "[^/]+" : fmt::format("(?:{})", text); };
  PathMatch out;
  out.kind = PathMatch::Kind::regex;
  out.value = fmt::format("/{}/{}", part(service), part(method));
  out.regex = read_regex(field, out.value);
  return out;
}

PathMatch read_method(const Field& field) {
  PathMatch out;
  if (!field) return out;
  bool expression = field["type"].choice<bool>({{"Exact", false}, {"RegularExpression", true}}, false);
  Field service = field["service"], method = field["method"];
  if (!service && !method) field.error("must name a service, a method or both");
  if (expression) return any_service(field, service.text(), method.text());
  std::string of = read_name(service), name = read_name(method);
  if (of.empty()) return any_service(field, of, name);
  out.kind = name.empty() ? PathMatch::Kind::prefix : PathMatch::Kind::exact;
  out.value = name.empty() ? "/" + of : fmt::format("/{}/{}", of, name);
  return out;
}

RouteRuleSpec read_rule(const Field& field, const Meta& meta) {
  RouteRuleSpec out;
  out.name = field["name"].text();
  std::vector<Field> matches = field["matches"].each();
  if (matches.size() > kMaxMatches)
    field["matches"].error(fmt::format("holds more than {} matches", kMaxMatches));
  for (const Field& match : matches) {
    out.matches.push_back({.path = read_method(match["method"])});
    out.matches.back().headers = read_named(match["headers"], true);
  }
  if (out.matches.empty()) out.matches.emplace_back();
  out.filters = read_filters(field["filters"]);
  if (out.filters.redirect || out.filters.cors || out.filters.rewrite != Rewrite{})
    field["filters"].error("of a GRPCRoute can only modify headers");
  for (const Field& backend : field["backendRefs"].each())
    out.backends.push_back(read_route_backend(backend, meta));
  Field session = field["sessionPersistence"];
  if (session) session.warn("is not supported yet and has no effect");
  session.ignore();
  return out;
}

}  // namespace

void read_grpc_route(Meta meta, const Field& root, Objects* out) {
  HttpRoute route;
  Field spec = root["spec"];
  route.parents = read_route_parents(spec, meta);
  for (const Field& rule : spec["rules"].each()) route.rules.push_back(read_rule(rule, meta));
  spec.refuse_unknown();
  if (route.rules.empty()) route.rules.push_back({.matches = {RouteMatch{}}});
  route.meta = std::move(meta);
  out->grpc_routes.push_back(std::move(route));
}

}  // namespace ambientd::config::kubernetes
