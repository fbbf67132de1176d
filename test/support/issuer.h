// SPDX-License-Identifier: Apache-2.0
// Whoever signs tokens: a fresh key of any family, its public half as a JWK, and tokens under it.
#pragma once

#include <string>
#include <string_view>

#include "policy/jws.h"

namespace ambientd::test {

std::string base64url(std::string_view bytes);

class Issuer {
 public:
  // The family follows from the algorithm: `RS256`, `PS512`, `ES384`, `EdDSA`, `HS256`.
  explicit Issuer(std::string algorithm, std::string kid = "");

  std::string jwk() const;   // {"kty": ...}, with its kid when it has one
  std::string jwks() const;  // {"keys": [jwk]}

  // A token with this payload (JSON). `header` replaces the usual one, {"alg":...,"kid":...}.
  std::string token(std::string_view payload, std::string_view header = "") const;
  std::string sign(std::string_view text) const;  // raw, as JWS wants it

 private:
  std::string algorithm_, kid_, secret_;
  policy::KeyPtr key_;
};

}  // namespace ambientd::test
