// SPDX-License-Identifier: Apache-2.0
// RequestAuthentication (contract/waypoint.md §2.6). What is wrong with a rule is an error: a token must
// never be taken, or passed on, for a reason the operator did not mean.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "config/kubernetes/read.h"
#include "core/duration.h"
#include "core/text.h"
#include "core/url.h"

namespace ambientd::config::kubernetes {
namespace {

using policy::JwtRule;

constexpr size_t kMaxRules = 64;  // of one object
constexpr std::chrono::seconds kMaxTimeout{60};

// A header that we write from a claim: none that says where a request goes or how long it is.
std::string read_output_header(const Field& field) {
  constexpr std::string_view kNever[] = {"host",
                                         "content-length",
                                         "transfer-encoding",
                                         "connection",
                                         "keep-alive",
                                         "proxy-connection",
                                         "upgrade",
                                         "te",
                                         "trailer",
                                         "expect"};
  std::string name = read_header_name(field);
  if (std::ranges::find(kNever, name) != std::end(kNever))
    field.error(quoted(name) + " frames or routes the request and cannot carry a claim");
  return name;
}

std::vector<std::string> read_names(const Field& list) {
  std::vector<std::string> out;
  for (const Field& field : list.each()) {
    out.push_back(field.text());
    if (out.back().empty()) field.error("must not be empty");
  }
  return out;
}

// The API asks for the default locations when none is given (contract/waypoint.md §2.6).
void read_locations(const Field& at, JwtRule* out) {
  for (const Field& header : at["fromHeaders"].each())
    out->headers.push_back({read_header_name(header.need("name")), header["prefix"].text()});
  out->params = read_names(at["fromParams"]);
  out->cookies = read_names(at["fromCookies"]);
  if (!out->headers.empty() || !out->params.empty() || !out->cookies.empty()) return;
  out->headers.push_back({"authorization", "Bearer "});
  out->params.emplace_back("access_token");
}

policy::JwksPtr read_jwks(const Field& field) {
  Result<policy::JwksPtr> keys = policy::Jwks::parse(field.text());
  if (!keys) {
    field.error(keys.error().detail);
    return nullptr;
  }
  for (const std::string& why : (*keys)->skipped) field.warn(why + ", and has no effect");
  return *keys;
}

void read_keys(const Field& at, JwtRule* out) {
  Field uri = at["jwksUri"] ? at["jwksUri"] : at["jwks_uri"];
  if (at["jwks"] && uri) return uri.error("cannot stand beside jwks");
  if (at["jwks"]) {
    out->jwks = read_jwks(at["jwks"]);
    return;
  }
  out->jwks_uri = uri.text();
  if (uri && !Url::parse(out->jwks_uri))
    uri.error("must be an http or https URL, not " + quoted(out->jwks_uri));
  if (!uri && !Url::parse(out->issuer))
    at.warn("has neither jwks nor jwksUri, and its issuer is no URL to find them by: it refuses every token");
}

std::chrono::milliseconds read_timeout(const Field& field) {
  Result<std::chrono::nanoseconds> given = parse_duration(field.text("5s"));
  if (!given || *given <= std::chrono::nanoseconds(0) || *given > kMaxTimeout) {
    field.error("must be a duration like 5s, at most 60s");
    return kMaxTimeout;
  }
  return std::chrono::ceil<std::chrono::milliseconds>(*given);
}

void read_outputs(const Field& at, JwtRule* out) {
  if (Field header = at["outputPayloadToHeader"]; !header.text().empty())
    out->payload_header = read_output_header(header);
  for (const Field& each : at["outputClaimToHeaders"].each()) {
    Field header = each.need("header");
    out->claim_headers.push_back({header ? read_output_header(header) : "", each.need_text("claim")});
  }
}

policy::JwtRulePtr read_rule(const Field& at, std::string name) {
  auto out = std::make_shared<JwtRule>();
  out->name = std::move(name);
  out->issuer = at.need_text("issuer");
  out->audiences = read_names(at["audiences"]);
  read_keys(at, out.get());
  out->timeout = read_timeout(at["timeout"]);
  read_locations(at, out.get());
  out->forward = at["forwardOriginalToken"].flag();
  read_outputs(at, out.get());
  out->space_delimited = read_names(at["spaceDelimitedClaims"]);
  return out;
}

}  // namespace

void read_request_authentication(Meta meta, const Field& root, Objects* out) {
  RequestAuthentication made;
  made.meta = std::move(meta);
  Field spec = root["spec"];
  read_targets(spec, made.meta, &made.selector, &made.targets);
  std::vector<Field> rules = spec["jwtRules"].each();
  if (rules.size() > kMaxRules) spec["jwtRules"].error(fmt::format("holds more than {} rules", kMaxRules));
  for (const Field& rule : rules)
    made.rules.push_back(read_rule(rule, fmt::format("{} rule {}", made.meta.key(), made.rules.size())));
  spec.refuse_unknown();
  if (rules.empty()) root.warn("has no jwtRules and has no effect");
  if (made.targets.empty())
    root.warn("has no effect: without targetRefs it is for sidecars and gateways, not for waypoints");
  out->request_authentications.push_back(std::move(made));
}

}  // namespace ambientd::config::kubernetes
