// SPDX-License-Identifier: Apache-2.0
#include "l7/authenticate.h"

#include <fmt/format.h>

#include <algorithm>
#include <ranges>

#include "l7/token.h"

namespace ambientd::l7 {
namespace {

using policy::JwtFault;
using policy::JwtRulePtr;
using policy::VerifiedTokenPtr;

constexpr size_t kMaxRealmPath = 256;  // bytes, as Envoy cuts it

// How far a rule came. Nothing set: it found no token.
struct Outcome {
  VerifiedTokenPtr token;
  std::optional<JwtFault> fault;
  bool waiting = false;
};

// The keys to check with; else `out` says why there are none.
policy::JwksPtr keys_of(const Authenticator& with, const policy::JwtRule& rule, Outcome* out) {
  if (rule.jwks) return rule.jwks;
  auto at = with.keys.find(rule.key_source());
  if (at == with.keys.end() || !at->second.settled) {
    out->waiting = true;
    return nullptr;
  }
  if (!at->second.keys) out->fault = at->second.fault;
  return at->second.keys;
}

Outcome failed(JwtFault fault) { return {.token = nullptr, .fault = fault}; }

Outcome check_token(const Authenticator& with, const JwtRulePtr& rule, const std::string& text,
                    std::vector<std::string>* missed) {
  Outcome out;
  Outcome without_keys;
  policy::JwksPtr keys = keys_of(with, *rule, &without_keys);
  VerifiedTokenPtr known = keys ? with.cache.find(text, rule, keys) : nullptr;
  std::expected<policy::Jwt, JwtFault> fresh;
  if (!known) fresh = policy::Jwt::parse(text);
  if (!fresh) return failed(fresh.error());
  std::expected<void, JwtFault> checked = policy::check_claims(known ? known->jwt : *fresh, *rule, with.now);
  if (!checked) return failed(checked.error());
  if (!keys) return without_keys;
  if (!known) {
    checked = policy::check_signature(*fresh, *keys);
    if (!checked && checked.error() == JwtFault::no_matching_key && !rule->jwks)
      missed->push_back(rule->key_source());
    if (!checked) return failed(checked.error());
    known = std::make_shared<const policy::VerifiedToken>(std::move(*fresh), *rule);
    with.cache.put(text, rule, keys, known);
  }
  out.token = std::move(known);
  return out;
}

// All tokens where the rule looks must be good; the first counts.
Outcome check_rule(const Authenticator& with, const JwtRulePtr& rule, const Request& request,
                   std::vector<std::string>* missed) {
  std::vector<std::string> tokens = find_tokens(*rule, request);
  Outcome out;
  for (const std::string& text : tokens | std::views::reverse) {
    out = check_token(with, rule, text, missed);
    if (!out.token) return out;
  }
  return out;
}

// A quoted string must end where it ends.
std::string without_quotes(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '"' || c == '\\')
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    else
      out += c;
  }
  return out;
}

}  // namespace

Authentication authenticate(const Authenticator& with, const Request& request) {
  Authentication out;
  if (is_cors_preflight(request)) return out;
  for (const JwtRulePtr& rule : with.rules) {
    Outcome one = check_rule(with, rule, request, &out.missed);
    if (one.token) return {.token = std::move(one.token), .rule = rule};
    out.waiting |= one.waiting;
    if (one.fault && !out.fault) out.fault = one.fault;
  }
  return out;
}

void remove_outputs(std::span<const JwtRulePtr> rules, Request& request) {
  for (const JwtRulePtr& rule : rules) {
    if (!rule->payload_header.empty()) remove_field(request.fields, rule->payload_header);
    for (const policy::ClaimHeader& each : rule->claim_headers) remove_field(request.fields, each.header);
  }
}

void pass_on(const policy::JwtRule& rule, const policy::VerifiedToken& token, Request& request) {
  if (!rule.forward) remove_tokens(rule, request);
  if (!rule.payload_header.empty())
    add_field(request.fields, rule.payload_header, token.jwt.encoded_payload());
  for (const policy::ClaimHeader& each : rule.claim_headers)
    if (std::optional<std::string> value = token.header_value(each.claim))
      add_field(request.fields, each.header, *value);
}

std::string challenge(const Request& request) {
  return fmt::format("Bearer realm=\"{}://{}{}\", error=\"invalid_token\"", request.scheme,
                     without_quotes(request.authority),
                     without_quotes(std::string_view(request.path).substr(0, kMaxRealmPath)));
}

}  // namespace ambientd::l7
