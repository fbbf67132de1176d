// SPDX-License-Identifier: Apache-2.0
#include "test/support/issuer.h"

#include <fmt/format.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <array>
#include <vector>

#include "core/text.h"

namespace ambientd::test {
namespace {

constexpr size_t kRsaBits = 2048;

const char* digest_name(std::string_view algorithm) {
  if (algorithm.ends_with("256")) return "SHA256";
  return algorithm.ends_with("384") ? "SHA384" : "SHA512";
}

const char* curve_name(std::string_view algorithm) {
  if (algorithm == "ES256") return "P-256";
  return algorithm == "ES384" ? "P-384" : "P-521";
}

size_t coordinate(std::string_view algorithm) {  // bytes
  if (algorithm == "ES256") return 32;
  return algorithm == "ES384" ? 48 : 66;
}

EVP_PKEY* generate(std::string_view algorithm) {
  if (algorithm == "EdDSA") return EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
  if (algorithm.starts_with("ES")) return EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", curve_name(algorithm));
  if (algorithm.starts_with("HS")) return nullptr;
  return EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", kRsaBits);
}

std::string number(EVP_PKEY* key, const char* name, size_t size = 0) {
  BIGNUM* value = nullptr;
  EVP_PKEY_get_bn_param(key, name, &value);
  std::string out(std::max(size, static_cast<size_t>(BN_num_bytes(value))), '\0');
  BN_bn2binpad(value, reinterpret_cast<uint8_t*>(out.data()), static_cast<int>(out.size()));
  BN_free(value);
  return base64url(out);
}

std::string raw_public(EVP_PKEY* key) {
  std::array<uint8_t, 32> out{};
  size_t size = out.size();
  EVP_PKEY_get_raw_public_key(key, out.data(), &size);
  return base64url({reinterpret_cast<const char*>(out.data()), size});
}

std::string to_raw(std::string_view der, size_t half) {
  const auto* at = reinterpret_cast<const uint8_t*>(der.data());
  ECDSA_SIG* signature = d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size()));
  std::string out(2 * half, '\0');
  auto* to = reinterpret_cast<uint8_t*>(out.data());
  BN_bn2binpad(ECDSA_SIG_get0_r(signature), to, static_cast<int>(half));
  BN_bn2binpad(ECDSA_SIG_get0_s(signature), to + half, static_cast<int>(half));
  ECDSA_SIG_free(signature);
  return out;
}

}  // namespace

std::string base64url(std::string_view bytes) {
  std::string out = base64(bytes);
  std::ranges::replace(out, '+', '-');
  std::ranges::replace(out, '/', '_');
  while (out.ends_with('=')) out.pop_back();
  return out;
}

Issuer::Issuer(std::string algorithm, std::string kid)
    : algorithm_(std::move(algorithm)), kid_(std::move(kid)), key_(generate(algorithm_)) {
  if (algorithm_.starts_with("HS"))
    secret_ = "a secret that only its issuer and this test know, of 64 bytes.....";
}

std::string Issuer::jwk() const {
  std::string id = kid_.empty() ? "" : fmt::format(R"(,"kid":"{}")", kid_);
  if (!key_) return fmt::format(R"({{"kty":"oct","k":"{}"{}}})", base64url(secret_), id);
  if (algorithm_ == "EdDSA")
    return fmt::format(R"({{"kty":"OKP","crv":"Ed25519","x":"{}"{}}})", raw_public(key_.get()), id);
  if (algorithm_.starts_with("ES")) {
    size_t size = coordinate(algorithm_);
    return fmt::format(R"({{"kty":"EC","crv":"{}","x":"{}","y":"{}"{}}})", curve_name(algorithm_),
                       number(key_.get(), OSSL_PKEY_PARAM_EC_PUB_X, size),
                       number(key_.get(), OSSL_PKEY_PARAM_EC_PUB_Y, size), id);
  }
  return fmt::format(R"({{"kty":"RSA","n":"{}","e":"{}"{}}})", number(key_.get(), OSSL_PKEY_PARAM_RSA_N),
                     number(key_.get(), OSSL_PKEY_PARAM_RSA_E), id);
}

std::string Issuer::jwks() const { return fmt::format(R"({{"keys":[{}]}})", jwk()); }

std::string Issuer::token(std::string_view payload, std::string_view header) const {
  std::string id = kid_.empty() ? "" : fmt::format(R"(,"kid":"{}")", kid_);
  std::string usual = fmt::format(R"({{"alg":"{}"{}}})", algorithm_, id);
  std::string text = base64url(header.empty() ? usual : header) + "." + base64url(payload);
  return text + "." + base64url(sign(text));
}

std::string Issuer::sign(std::string_view text) const {
  const auto* bytes = reinterpret_cast<const uint8_t*>(text.data());
  std::vector<uint8_t> out(1024);
  if (!key_) {
    unsigned size = 0;
    HMAC(EVP_get_digestbyname(digest_name(algorithm_)), secret_.data(), static_cast<int>(secret_.size()),
         bytes, text.size(), out.data(), &size);
    return {reinterpret_cast<const char*>(out.data()), size};
  }
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  EVP_PKEY_CTX* inner = nullptr;
  const char* digest = algorithm_ == "EdDSA" ? nullptr : digest_name(algorithm_);
  EVP_DigestSignInit_ex(context, &inner, digest, nullptr, nullptr, key_.get(), nullptr);
  if (algorithm_.starts_with("PS")) {
    EVP_PKEY_CTX_set_rsa_padding(inner, RSA_PKCS1_PSS_PADDING);
    EVP_PKEY_CTX_set_rsa_pss_saltlen(inner, RSA_PSS_SALTLEN_DIGEST);
  }
  size_t size = out.size();
  EVP_DigestSign(context, out.data(), &size, bytes, text.size());
  EVP_MD_CTX_free(context);
  std::string_view made(reinterpret_cast<const char*>(out.data()), size);
  return algorithm_.starts_with("ES") ? to_raw(made, coordinate(algorithm_)) : std::string(made);
}

}  // namespace ambientd::test
