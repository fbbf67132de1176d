// SPDX-License-Identifier: Apache-2.0
// JSON Web Tokens in their compact form (RFC 7519, RFC 7515 §7.1), and every reason not to believe one, in
// the words clients of an Envoy know (contract/waypoint.md §2.6, §3.3). Pure: the time is an argument.
//
// The rule: what parse() returns is only what somebody claims. It means something once check_claims() and
// check_signature() have both passed.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "policy/json.h"
#include "policy/jwk.h"
#include "policy/jwt_rule.h"

namespace ambientd::policy {

enum class JwtFault : uint8_t {
  bad_form,
  header_not_base64,
  header_not_json,
  alg_missing,
  alg_unsupported,
  kid_not_text,
  payload_not_base64,
  payload_not_json,
  iss_not_text,
  sub_not_text,
  jti_not_text,
  aud_not_texts,
  iat_not_number,
  nbf_not_number,
  exp_not_number,
  iat_out_of_range,
  nbf_out_of_range,
  exp_out_of_range,
  signature_not_base64,
  unknown_issuer,
  not_yet_valid,
  expired,
  audience,
  signature_length,  // of Ed25519
  signature,
  no_matching_key,
  no_valid_key,
  fetch_failed,
};

std::string_view text(JwtFault fault);  // the body of the answer
int status(JwtFault fault);             // 401, or 403 for a token that is good but for somebody else

inline constexpr size_t kMaxToken = 60 << 10;      // bytes: as much as a header section holds
inline constexpr uint64_t kClockSkewSeconds = 60;  // contract/waypoint.md §2.6

struct Jwt {
  JwsAlgorithm algorithm = JwsAlgorithm::rs256;
  std::string key_id;     // kid; empty: none
  bool critical = false;  // has `crit`: extensions that must be understood, and none is
  Json payload;
  std::string issuer, subject;  // empty: none
  std::vector<std::string> audiences;
  std::optional<uint64_t> not_before, expires;  // seconds since the epoch
  std::string signed_text;                      // header.payload as sent
  std::string signature;                        // raw

  std::string_view encoded_payload() const;  // as sent: base64url
  static std::expected<Jwt, JwtFault> parse(std::string_view token);
};

// Issuer, times and audience against the rule. `now`: seconds since the epoch.
std::expected<void, JwtFault> check_claims(const Jwt& jwt, const JwtRule& rule, uint64_t now);

// With a kid only keys of that id count, and those without any; else each that fits is tried.
std::expected<void, JwtFault> check_signature(const Jwt& jwt, const Jwks& keys);

}  // namespace ambientd::policy
