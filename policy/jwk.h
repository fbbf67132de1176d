// SPDX-License-Identifier: Apache-2.0
// JSON Web Keys (RFC 7517, RFC 7518 §6, RFC 8037): what an issuer publishes to have its tokens checked.
// A set is read once and shared by all threads. The rule: a key that cannot be used safely is left out of its
// set and the reason kept; nothing is ever put in its place (CVE-2026-31837).
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "policy/jws.h"

namespace ambientd::policy {

inline constexpr size_t kMaxJwksText = 1 << 20;  // bytes
inline constexpr size_t kMaxJwks = 64;           // keys of a set: each may have to be tried for one token

struct Jwk {
  std::string id;                         // kid; empty: none
  std::optional<JwsAlgorithm> algorithm;  // the one it is for; nothing: any of its family
  VerificationKey key;
};

struct Jwks {
  std::vector<Jwk> keys;             // at least one
  std::vector<std::string> skipped;  // `key 2 ("old"): RSA of 1024 bits is too short`

  // Errc::invalid: not a key set, or no key in it can be used; the detail says why of each.
  static Result<std::shared_ptr<const Jwks>> parse(std::string_view text);
};
using JwksPtr = std::shared_ptr<const Jwks>;

}  // namespace ambientd::policy
