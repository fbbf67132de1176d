// SPDX-License-Identifier: Apache-2.0
#include "policy/jwt_rule.h"

namespace ambientd::policy {

std::string JwtRule::key_source() const {
  if (jwks) return {};
  return jwks_uri.empty() ? "discovery " + issuer : jwks_uri;
}

}  // namespace ambientd::policy
