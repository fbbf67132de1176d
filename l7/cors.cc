// SPDX-License-Identifier: Apache-2.0
#include "l7/cors.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "l7/route_match.h"

namespace ambientd::l7 {
namespace {

// A lone `*` in configuration allows what was asked for.
void add_list(Fields& fields, std::string_view name, const std::vector<std::string>& allowed,
              std::optional<std::string_view> asked) {
  bool any = allowed.size() == 1 && allowed[0] == "*";
  if (any && asked) return set_field(fields, name, *asked);
  if (!allowed.empty()) set_field(fields, name, fmt::format("{}", fmt::join(allowed, ",")));
}

}  // namespace

std::optional<CorsGrant> grant_of(const config::Cors& cors, const Request& request) {
  std::optional<std::string_view> origin = http1::find(request.fields, "origin");
  if (!origin || origin->empty()) return {};
  bool allowed = std::ranges::any_of(cors.allow_origins, [&](const config::StringMatch& match) {
    return matches(match, "*") || matches(match, *origin);
  });
  if (!allowed) return {};
  return CorsGrant{&cors, std::string(*origin)};
}

std::optional<Response> preflight(const config::Cors& cors, const std::optional<CorsGrant>& grant,
                                  const Request& request) {
  std::optional<std::string_view> method = http1::find(request.fields, "access-control-request-method");
  bool asked = request.method == "OPTIONS" && method && !method->empty();
  if (!asked || !http1::find(request.fields, "origin")) return {};
  if (!grant && cors.forward_unmatched_preflights) return {};
  Response out{.status = 200, .fields = {}, .content_length = 0, .has_body = false};
  set_field(out.fields, "content-length", "0");
  if (!grant) return out;
  add_list(out.fields, "access-control-allow-methods", cors.allow_methods, method);
  add_list(out.fields, "access-control-allow-headers", cors.allow_headers,
           http1::find(request.fields, "access-control-request-headers"));
  if (cors.max_age_s) set_field(out.fields, "access-control-max-age", std::to_string(*cors.max_age_s));
  return out;
}

void allow(const CorsGrant& grant, Response& response) {
  set_field(response.fields, "access-control-allow-origin", grant.origin);
  if (grant.cors->allow_credentials) set_field(response.fields, "access-control-allow-credentials", "true");
  add_list(response.fields, "access-control-expose-headers", grant.cors->expose_headers, {});
}

}  // namespace ambientd::l7
