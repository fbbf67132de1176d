// SPDX-License-Identifier: Apache-2.0
// One entry of RequestAuthentication's jwtRules (contract/waypoint.md §2.6): whose tokens are taken, where
// they are looked for, and what of a good one is passed on.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "policy/jwk.h"

namespace ambientd::policy {

struct TokenHeader {
  std::string name;    // lower case
  std::string prefix;  // before the token, `Bearer `; empty: the whole value is the token
  bool operator==(const TokenHeader&) const = default;
};

struct ClaimHeader {
  std::string header;  // lower case
  std::string claim;   // `sub`, or nested: `realm.name`
  bool operator==(const ClaimHeader&) const = default;
};

struct JwtRule {
  std::string name;  // `ns/name rule 0`, for logs
  std::string issuer;
  std::vector<std::string> audiences;  // empty: any
  // Where keys come from: inline, else the URI, else what the issuer's discovery document names.
  JwksPtr jwks;
  std::string jwks_uri;
  std::chrono::milliseconds timeout{5000};  // of a fetch

  // Where tokens are; the default locations are spelled out when all three are empty in the source.
  std::vector<TokenHeader> headers;
  std::vector<std::string> params, cookies;
  bool forward = false;  // else the headers the token came in are taken out

  std::string payload_header;  // lower case; empty: none
  std::vector<ClaimHeader> claim_headers;
  std::vector<std::string> space_delimited;  // claims whose text is a list

  // What names the keys among all rules: rules with the same source share them. Empty when they are inline.
  std::string key_source() const;
};
using JwtRulePtr = std::shared_ptr<const JwtRule>;

}  // namespace ambientd::policy
