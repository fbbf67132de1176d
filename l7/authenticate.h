// SPDX-License-Identifier: Apache-2.0
// The JWT filter (contract/waypoint.md §1.7, §2.6): before authorization, on a clean request. A request
// without a token passes; with several rules one that believes all its tokens is enough, and else a token
// that none believes refuses the request.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "l7/key_table.h"
#include "l7/message.h"
#include "l7/token_cache.h"
#include "policy/jwt_rule.h"

namespace ambientd::l7 {

// What the filter works with. `cache` belongs to the calling worker.
struct Authenticator {
  std::span<const policy::JwtRulePtr> rules;
  const KeyTable& keys;
  TokenCache& cache;
  uint64_t now;  // seconds since the epoch
};

struct Authentication {
  policy::VerifiedTokenPtr token;  // null without a fault: the request has none
  policy::JwtRulePtr rule;         // that believed it
  std::optional<policy::JwtFault> fault;
  bool waiting = false;             // for keys that are being fetched for the first time: judge again then
  std::vector<std::string> missed;  // sources whose sets lack the key a token names: fetch them again
};

Authentication authenticate(const Authenticator& with, const Request& request);

// Headers that only we may set: out of the request before anything else, token or not.
void remove_outputs(std::span<const policy::JwtRulePtr> rules, Request& request);

// What the rule passes on of a token it believed, and takes out.
void pass_on(const policy::JwtRule& rule, const policy::VerifiedToken& token, Request& request);

// The value of www-authenticate: the request's own address as the realm (at most 256 bytes of its path).
std::string challenge(const Request& request);

}  // namespace ambientd::l7
