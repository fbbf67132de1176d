// SPDX-License-Identifier: Apache-2.0
// The signatures a token may carry (RFC 7518 §3, RFC 8037) and the keys that check them. The key decides: it
// belongs to one family of algorithms, and a token whose header names another one fails, so that no public
// key is ever taken for a shared secret. `none` is no algorithm.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/certificate.h"

namespace ambientd::policy {

enum class JwsAlgorithm : uint8_t {
  rs256,
  rs384,
  rs512,
  ps256,
  ps384,
  ps512,
  es256,
  es384,
  es512,
  eddsa,
  hs256,
  hs384,
  hs512,
};

std::optional<JwsAlgorithm> parse_jws_algorithm(std::string_view name);  // `RS256`; case-sensitive

using KeyPtr = std::unique_ptr<EVP_PKEY, OpensslFree>;

// What a signature is checked with. Shared by all threads, never changed.
struct VerificationKey {
  enum class Family : uint8_t { rsa, p256, p384, p521, ed25519, secret };
  Family family = Family::rsa;
  KeyPtr key;          // of all but a secret
  std::string secret;  // of `secret`
};

// Whether keys of the family may check signatures of the algorithm at all.
bool fits(VerificationKey::Family family, JwsAlgorithm algorithm);

// Whether `signature` (raw bytes: r and s of an ECDSA one side by side) is of `signed_text`. False as well
// when the key does not fit or the signature has not the length it must have.
bool verify_signature(const VerificationKey& key, JwsAlgorithm algorithm, std::string_view signed_text,
                      std::string_view signature);

}  // namespace ambientd::policy
