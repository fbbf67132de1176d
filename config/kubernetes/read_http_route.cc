// SPDX-License-Identifier: Apache-2.0
// HTTPRoute (contract/waypoint.md §2.1).
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "config/kubernetes/read.h"
#include "config/kubernetes/read_route.h"
#include "core/http1_grammar.h"
#include "core/text.h"

namespace ambientd::config::kubernetes {
namespace {

constexpr uint64_t kMaxAttempts = 100;

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

RouteMatch read_match(const Field& field) {
  RouteMatch out;
  out.path = read_path(field["path"]);
  if (Field method = field["method"]) {
    out.method = StringMatch{.value = method.text(), .regex = {}};
    if (!http1::is_token(out.method->value)) method.error("must be an HTTP method");
  }
  out.headers = read_named(field["headers"], true);
  out.query = read_named(field["queryParams"], false);
  return out;
}

// One attempt is all a request gets where no retries are asked for: the shorter of the two counts. With
// retries each attempt has its own.
void read_timeouts(const Field& timeouts, bool retries, RouteRuleSpec* out) {
  std::optional<uint64_t> request = read_time(timeouts["request"]);
  std::optional<uint64_t> attempt = read_time(timeouts["backendRequest"]);
  if (request.value_or(0) > 0 && attempt.value_or(0) > *request)
    timeouts["backendRequest"].error("must not be longer than request");
  out->timeout_ms = attempt.value_or(0) > 0 && !retries ? attempt : request;
  if (retries) out->retry.per_try_ms = attempt.value_or(0);
}

RetryPolicy read_retry(const Field& field) {
  RetryPolicy out;
  for (const Field& code : field["codes"].each())
    if (std::optional<uint64_t> status = code.number(400, 599))
      out.statuses.push_back(static_cast<uint16_t>(*status));
  out.retries = static_cast<uint32_t>(field["attempts"].number(0, kMaxAttempts).value_or(out.retries));
  if (std::optional<uint64_t> base = read_time(field["backoff"])) {
    out.base_ms = *base;
    out.max_ms = 10 * *base;
  }
  return out;
}

// What the API's own validation refuses (Gateway API, HTTPRouteRule).
void check_rule(const Field& field, const RouteRuleSpec& rule) {
  const RouteFilters& filters = rule.filters;
  if (filters.redirect && filters.rewrite)
    field["filters"].error("cannot hold both RequestRedirect and URLRewrite");
  if (filters.redirect && !rule.backends.empty())
    field["backendRefs"].error("must be empty beside a RequestRedirect: nothing is forwarded");
  auto is_prefix = [](const std::optional<PathChange>& change) {
    return change && change->kind == PathChange::Kind::prefix;
  };
  bool prefix = (filters.rewrite && is_prefix(filters.rewrite->path)) ||
                (filters.redirect && is_prefix(filters.redirect->path));
  bool all = std::ranges::all_of(
      rule.matches, [](const RouteMatch& match) { return match.path.kind == PathMatch::Kind::prefix; });
  if (prefix && !all)
    field["filters"].error("replaces a prefix, so every match of the rule must be a PathPrefix");
}

RouteRuleSpec read_rule(const Field& field, const Meta& meta) {
  RouteRuleSpec out = read_route_rule(field, meta, read_match);
  Field retry = field["retry"];
  if (retry) out.retry = read_retry(retry);
  read_timeouts(field["timeouts"], static_cast<bool>(retry), &out);
  check_rule(field, out);
  return out;
}

}  // namespace

void read_http_route(Meta meta, const Field& root, Objects* out) {
  out->routes.push_back(read_route(std::move(meta), root, read_rule));
}

}  // namespace ambientd::config::kubernetes
