// SPDX-License-Identifier: Apache-2.0
// What a token that was believed says to the rest of a waypoint: who it is about and its claims, as
// AuthorizationPolicy compares them, and as header values.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "policy/jwt.h"
#include "policy/l7_authorization.h"

namespace ambientd::policy {

struct VerifiedToken {
  Jwt jwt;
  std::vector<Claim> claims;  // text only: strings, and strings of lists, at any depth of objects

  // `jwt` has passed the checks of policy/jwt.h under `rule`.
  VerifiedToken(Jwt jwt, const JwtRule& rule);

  // A claim as a header's value: text, an integer, a number, true or false. Nothing for what is none of them,
  // is empty, or holds a byte that no header may. `name` is a member of the payload, or else a path through
  // it with dots.
  std::optional<std::string> header_value(std::string_view name) const;
};
using VerifiedTokenPtr = std::shared_ptr<const VerifiedToken>;

}  // namespace ambientd::policy
