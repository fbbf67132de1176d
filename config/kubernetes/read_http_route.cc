// SPDX-License-Identifier: Apache-2.0
// HTTPRoute (contract/waypoint.md §2.1). A filter we cannot honour makes its rule answer 500 rather than pass
// requests on unchanged.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "config/kubernetes/read.h"
#include "core/duration.h"
#include "core/text.h"

namespace ambientd::config::kubernetes {
namespace {

constexpr std::chrono::hours kMaxTimeout{24 * 365};
constexpr size_t kMaxMatches = 128;  // of one rule: the API's own bound, with room

bool is_token(std::string_view text) {  // RFC 9110 §5.6.2
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::ranges::all_of(text, [&](unsigned char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           kMarks.contains(static_cast<char>(c));
  });
}

bool is_header_value(std::string_view text) {
  return std::ranges::none_of(text, [](unsigned char c) { return (c < ' ' && c != '\t') || c == 0x7f; });
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

void check_path(const Field& value, std::string_view path) {
  if (!path.starts_with('/')) return value.error("must begin with /, not " + quoted(path));
  for (std::string_view never : {"//", "/./", "/../", "%2f", "%2F", "#"})
    if (path.contains(never))
      return value.error(fmt::format("cannot match: a path never holds {}", quoted(never)));
}

PathMatch read_path(const Field& field) {
  PathMatch out;
  out.kind = field["type"].choice<PathMatch::Kind>({{"Exact", PathMatch::Kind::exact},
                                                    {"PathPrefix", PathMatch::Kind::prefix},
                                                    {"RegularExpression", PathMatch::Kind::regex}},
                                                   PathMatch::Kind::prefix);
  Field value = field["value"];
  out.value = value.text("/");
  if (out.kind == PathMatch::Kind::regex)
    out.regex = read_regex(value, out.value);
  else
    check_path(value, out.value);
  if (out.kind == PathMatch::Kind::prefix && out.value.size() > 1 && out.value.ends_with('/'))
    out.value.pop_back();
  return out;
}

// Of several entries with one name only the first counts (Gateway API).
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

RouteMatch read_match(const Field& field) {
  RouteMatch out;
  out.path = read_path(field["path"]);
  if (Field method = field["method"]) {
    out.method = StringMatch{.value = method.text(), .regex = {}};
    if (!is_token(out.method->value)) method.error("must be an HTTP method");
  }
  out.headers = read_named(field["headers"], true);
  out.query = read_named(field["queryParams"], false);
  return out;
}

std::vector<std::pair<std::string, std::string>> read_pairs(const Field& list) {
  std::vector<std::pair<std::string, std::string>> out;
  for (const Field& field : list.each()) {
    std::string value = field["value"].text();
    if (!is_header_value(value)) field["value"].error("holds a control character");
    out.emplace_back(read_header_name(field.need("name")), std::move(value));
  }
  return out;
}

void read_header_ops(const Field& field, HeaderOps* out) {
  auto append = [](auto& to, auto&& from) { to.insert(to.end(), from.begin(), from.end()); };
  append(out->set, read_pairs(field["set"]));
  append(out->add, read_pairs(field["add"]));
  for (const Field& name : field["remove"].each()) out->remove.push_back(read_header_name(name));
}

// False: there is a filter we cannot honour, and a warning says so.
bool read_filters(const Field& filters, HeaderOps* request, HeaderOps* response) {
  bool honoured = true;
  for (const Field& filter : filters.each()) {
    std::string type = filter.need_text("type");
    if (type == "RequestHeaderModifier") {
      read_header_ops(filter["requestHeaderModifier"], request);
    } else if (type == "ResponseHeaderModifier") {
      read_header_ops(filter["responseHeaderModifier"], response);
    } else {
      filter.warn("filter " + type + " is not supported yet: what it applies to is answered 500");
      filter.ignore();
      honoured = false;
    }
  }
  return honoured;
}

RouteBackend read_backend(const Field& field, const Meta& meta) {
  RouteBackend out;
  out.target = read_reference(field, meta);
  if (out.target.kind.empty()) out.target.kind = "Service";
  out.weight = static_cast<uint32_t>(field["weight"].number(0, 1'000'000).value_or(1));
  if (!read_filters(field["filters"], &out.request_headers, &out.response_headers)) out.target.kind.clear();
  return out;
}

// A duration of the Gateway API; 0: none.
std::optional<uint64_t> read_timeout(const Field& field) {
  if (!field) return {};
  Result<std::chrono::nanoseconds> given = parse_duration(field.text());
  if (!given || *given > kMaxTimeout) {
    field.error("must be a duration like 10s or 500ms, not " + quoted(field.text()));
    return {};
  }
  return static_cast<uint64_t>(std::chrono::ceil<std::chrono::milliseconds>(*given).count());
}

// While there are no retries, one attempt is all a request gets: the shorter of the two counts.
std::optional<uint64_t> read_timeouts(const Field& timeouts) {
  std::optional<uint64_t> request = read_timeout(timeouts["request"]);
  std::optional<uint64_t> attempt = read_timeout(timeouts["backendRequest"]);
  if (request.value_or(0) > 0 && attempt.value_or(0) > *request)
    timeouts["backendRequest"].error("must not be longer than request");
  return attempt.value_or(0) > 0 ? attempt : request;
}

RouteRuleSpec read_rule(const Field& field, const Meta& meta) {
  RouteRuleSpec out;
  out.name = field["name"].text();
  std::vector<Field> matches = field["matches"].each();
  if (matches.size() > kMaxMatches)
    field["matches"].error(fmt::format("holds more than {} matches", kMaxMatches));
  for (const Field& match : matches) out.matches.push_back(read_match(match));
  if (out.matches.empty()) out.matches.emplace_back();
  out.refused = !read_filters(field["filters"], &out.request_headers, &out.response_headers);
  for (const Field& backend : field["backendRefs"].each())
    out.backends.push_back(read_backend(backend, meta));
  out.timeout_ms = read_timeouts(field["timeouts"]);
  for (std::string_view later : {"retry", "sessionPersistence"}) {
    if (field[later]) field[later].warn("is not supported yet and has no effect");
    field[later].ignore();
  }
  return out;
}

}  // namespace

void read_http_route(Meta meta, const Field& root, Objects* out) {
  HttpRoute route;
  Field spec = root["spec"];
  for (const Field& parent : spec["parentRefs"].each()) {
    Reference ref = read_reference(parent, meta);
    if (!parent["group"]) ref.group = "gateway.networking.k8s.io";
    if (ref.kind.empty()) ref.kind = "Gateway";
    route.parents.push_back(std::move(ref));
  }
  if (Field hostnames = spec["hostnames"]; !hostnames.each().empty())
    hostnames.warn("has no effect on a route of a Service: the address called selects the service");
  spec["hostnames"].ignore();
  spec["useDefaultGateways"].ignore();
  for (const Field& rule : spec["rules"].each()) route.rules.push_back(read_rule(rule, meta));
  spec.refuse_unknown();
  if (route.rules.empty()) route.rules.push_back({.matches = {RouteMatch{}}});
  route.meta = std::move(meta);
  out->http_routes.push_back(std::move(route));
}

}  // namespace ambientd::config::kubernetes
