// SPDX-License-Identifier: Apache-2.0
#include "policy/jws.h"

#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>
#include <vector>

namespace ambientd::policy {
namespace {

using Algorithm = JwsAlgorithm;
using Family = VerificationKey::Family;

constexpr size_t kEd25519Signature = 64;  // bytes

struct Named {
  std::string_view name;
  Algorithm algorithm;
};

constexpr Named kNames[] = {
    {"RS256", Algorithm::rs256}, {"RS384", Algorithm::rs384}, {"RS512", Algorithm::rs512},
    {"PS256", Algorithm::ps256}, {"PS384", Algorithm::ps384}, {"PS512", Algorithm::ps512},
    {"ES256", Algorithm::es256}, {"ES384", Algorithm::es384}, {"ES512", Algorithm::es512},
    {"EdDSA", Algorithm::eddsa}, {"HS256", Algorithm::hs256}, {"HS384", Algorithm::hs384},
    {"HS512", Algorithm::hs512},
};

struct ContextFree {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_MD_CTX, ContextFree>;

const uint8_t* bytes(std::string_view text) { return reinterpret_cast<const uint8_t*>(text.data()); }

// Fetched once: looking a digest up by name takes a lock each time.
const EVP_MD* fetched(const char* name) { return EVP_MD_fetch(nullptr, name, nullptr); }

const EVP_MD* digest_of(Algorithm algorithm) {
  static const EVP_MD* const sha256 = fetched("SHA256");
  static const EVP_MD* const sha384 = fetched("SHA384");
  static const EVP_MD* const sha512 = fetched("SHA512");
  switch (algorithm) {
    case Algorithm::rs256:
    case Algorithm::ps256:
    case Algorithm::es256:
    case Algorithm::hs256:
      return sha256;
    case Algorithm::rs384:
    case Algorithm::ps384:
    case Algorithm::es384:
    case Algorithm::hs384:
      return sha384;
    case Algorithm::rs512:
    case Algorithm::ps512:
    case Algorithm::es512:
    case Algorithm::hs512:
      return sha512;
    case Algorithm::eddsa:
      return nullptr;  // it hashes by itself
  }
  return nullptr;
}

bool is_pss(Algorithm algorithm) {
  return algorithm == Algorithm::ps256 || algorithm == Algorithm::ps384 || algorithm == Algorithm::ps512;
}

// RFC 7518 §3.5: MGF1 with the same hash, a salt as long as the hash.
bool set_pss(EVP_PKEY_CTX* context, const EVP_MD* digest) {
  return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
         EVP_PKEY_CTX_set_rsa_mgf1_md(context, digest) == 1 &&
         EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) == 1;
}

bool verify_with(EVP_PKEY* key, Algorithm algorithm, std::string_view signed_text,
                 std::string_view signature) {
  Context context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* inner = nullptr;  // of `context`
  const EVP_MD* digest = digest_of(algorithm);
  bool good = context && EVP_DigestVerifyInit(context.get(), &inner, digest, nullptr, key) == 1 &&
              (!is_pss(algorithm) || set_pss(inner, digest)) &&
              EVP_DigestVerify(context.get(), bytes(signature), signature.size(), bytes(signed_text),
                               signed_text.size()) == 1;
  if (!good) ERR_clear_error();
  return good;
}

// OpenSSL wants r and s as DER; JWS has them side by side, each as long as the curve's order (RFC 7518 §3.4).
std::optional<std::string> to_der(std::string_view raw, size_t half) {
  if (raw.size() != 2 * half) return {};
  std::unique_ptr<ECDSA_SIG, decltype(&ECDSA_SIG_free)> signature(ECDSA_SIG_new(), ECDSA_SIG_free);
  BIGNUM* r = BN_bin2bn(bytes(raw), static_cast<int>(half), nullptr);
  BIGNUM* s = BN_bin2bn(bytes(raw.substr(half)), static_cast<int>(half), nullptr);
  if (!signature || !r || !s || ECDSA_SIG_set0(signature.get(), r, s) != 1) {
    BN_free(r);
    BN_free(s);
    return {};
  }
  uint8_t* der = nullptr;
  int size = i2d_ECDSA_SIG(signature.get(), &der);
  if (size <= 0) return {};
  std::string out(reinterpret_cast<char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return out;
}

size_t order_bytes(Family family) {
  if (family == Family::p256) return 32;
  return family == Family::p384 ? 48 : 66;
}

bool verify_mac(std::string_view secret, Algorithm algorithm, std::string_view signed_text,
                std::string_view signature) {
  std::array<uint8_t, EVP_MAX_MD_SIZE> mac;
  unsigned size = 0;
  if (!HMAC(digest_of(algorithm), secret.data(), static_cast<int>(secret.size()), bytes(signed_text),
            signed_text.size(), mac.data(), &size)) {
    ERR_clear_error();
    return false;
  }
  return signature.size() == size && CRYPTO_memcmp(mac.data(), signature.data(), size) == 0;
}

}  // namespace

std::optional<JwsAlgorithm> parse_jws_algorithm(std::string_view name) {
  auto at = std::ranges::find(kNames, name, &Named::name);
  return at == std::end(kNames) ? std::nullopt : std::optional(at->algorithm);
}

bool fits(Family family, Algorithm algorithm) {
  switch (family) {
    case Family::rsa:
      return algorithm <= Algorithm::ps512;
    case Family::p256:
      return algorithm == Algorithm::es256;
    case Family::p384:
      return algorithm == Algorithm::es384;
    case Family::p521:
      return algorithm == Algorithm::es512;
    case Family::ed25519:
      return algorithm == Algorithm::eddsa;
    case Family::secret:
      return algorithm >= Algorithm::hs256;
  }
  return false;
}

bool verify_signature(const VerificationKey& key, Algorithm algorithm, std::string_view signed_text,
                      std::string_view signature) {
  if (!fits(key.family, algorithm)) return false;
  switch (key.family) {
    case Family::rsa:
      return verify_with(key.key.get(), algorithm, signed_text, signature);
    case Family::p256:
    case Family::p384:
    case Family::p521: {
      std::optional<std::string> der = to_der(signature, order_bytes(key.family));
      return der && verify_with(key.key.get(), algorithm, signed_text, *der);
    }
    case Family::ed25519:
      return signature.size() == kEd25519Signature &&
             verify_with(key.key.get(), algorithm, signed_text, signature);
    case Family::secret:
      return verify_mac(key.secret, algorithm, signed_text, signature);
  }
  return false;
}

}  // namespace ambientd::policy
