// SPDX-License-Identifier: Apache-2.0
// GRPCRoute (contract/waypoint.md §2.1): a call's service and method are its path.
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

#include "config/kubernetes/read.h"
#include "config/kubernetes/read_route.h"
#include "core/text.h"

namespace ambientd::config::kubernetes {
namespace {

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

RouteMatch read_match(const Field& field) {
  RouteMatch out;
  out.path = read_method(field["method"]);
  out.headers = read_named(field["headers"], true);
  return out;
}

RouteRuleSpec read_rule(const Field& field, const Meta& meta) {
  RouteRuleSpec out = read_route_rule(field, meta, read_match);
  if (!out.filters.only_headers()) field["filters"].error("of a GRPCRoute can only modify headers");
  return out;
}

}  // namespace

void read_grpc_route(Meta meta, const Field& root, Objects* out) {
  out->routes.push_back(read_route(std::move(meta), root, read_rule));
}

}  // namespace ambientd::config::kubernetes
