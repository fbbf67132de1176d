// SPDX-License-Identifier: Apache-2.0
#include "policy/jwk.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include <algorithm>

#include "core/text.h"
#include "policy/json.h"

namespace ambientd::policy {
namespace {

using Family = VerificationKey::Family;

constexpr int kMinRsaBits = 2048;  // RFC 7518 §3.3
constexpr int kMaxRsaBits = 8192;  // beyond it one signature costs milliseconds
constexpr size_t kEd25519Key = 32;

template <auto Free>
struct Freer {
  template <class T>
  void operator()(T* what) const {
    Free(what);
  }
};
using Number = std::unique_ptr<BIGNUM, Freer<BN_free>>;
using ParamBuilder = std::unique_ptr<OSSL_PARAM_BLD, Freer<OSSL_PARAM_BLD_free>>;
using Params = std::unique_ptr<OSSL_PARAM, Freer<OSSL_PARAM_free>>;
using KeyContext = std::unique_ptr<EVP_PKEY_CTX, Freer<EVP_PKEY_CTX_free>>;

std::unexpected<Error> bad(std::string why) { return fail(Errc::invalid, std::move(why)); }

Result<std::string> bytes_of(const Json& jwk, std::string_view name) {
  std::optional<std::string_view> text = jwk.text_of(name);
  if (!text) return bad(fmt::format("{} is missing or no string", name));
  std::optional<std::string> raw = from_base64url(*text);
  if (!raw || raw->empty()) return bad(fmt::format("{} is no base64url without padding", name));
  return std::move(*raw);
}

Number to_number(std::string_view raw) {
  return Number(
      BN_bin2bn(reinterpret_cast<const uint8_t*>(raw.data()), static_cast<int>(raw.size()), nullptr));
}

Result<KeyPtr> make_key(const char* type, ParamBuilder builder) {
  Params params(OSSL_PARAM_BLD_to_param(builder.get()));
  KeyContext context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* key = nullptr;
  if (!params || !context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, params.get()) != 1) {
    ERR_clear_error();
    return bad(fmt::format("is no {} key", type));
  }
  return KeyPtr(key);
}

Result<VerificationKey> read_rsa(const Json& jwk) {
  Result<std::string> n = bytes_of(jwk, "n");
  if (!n) return fail(std::move(n.error()));
  Result<std::string> e = bytes_of(jwk, "e");
  if (!e) return fail(std::move(e.error()));
  if (n->size() > kMaxRsaBits / 8 + 1 || e->size() > 8) return bad("RSA key is too large");
  Number modulus = to_number(*n), exponent = to_number(*e);
  int bits = BN_num_bits(modulus.get());
  if (bits < kMinRsaBits || bits > kMaxRsaBits)
    return bad(fmt::format("RSA key of {} bits: must have {} to {}", bits, kMinRsaBits, kMaxRsaBits));
  if (!BN_is_odd(exponent.get()) || BN_is_one(exponent.get())) return bad("RSA key has a bad exponent");
  ParamBuilder builder(OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, modulus.get());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, exponent.get());
  Result<KeyPtr> key = make_key("RSA", std::move(builder));
  if (!key) return fail(std::move(key.error()));
  return VerificationKey{Family::rsa, std::move(*key), {}};
}

struct Curve {
  std::string_view name;
  const char* group;
  Family family;
  size_t size;  // bytes of a coordinate
};

constexpr Curve kCurves[] = {{"P-256", "prime256v1", Family::p256, 32},
                             {"P-384", "secp384r1", Family::p384, 48},
                             {"P-521", "secp521r1", Family::p521, 66}};

bool is_on_curve(EVP_PKEY* key) {
  KeyContext context(EVP_PKEY_CTX_new_from_pkey(nullptr, key, nullptr));
  bool good = context && EVP_PKEY_public_check(context.get()) == 1;
  if (!good) ERR_clear_error();
  return good;
}

Result<VerificationKey> read_ec(const Json& jwk) {
  auto curve = std::ranges::find(kCurves, jwk.text_of("crv").value_or(""), &Curve::name);
  if (curve == std::end(kCurves)) return bad("crv of an EC key must be P-256, P-384 or P-521");
  Result<std::string> x = bytes_of(jwk, "x");
  if (!x) return fail(std::move(x.error()));
  Result<std::string> y = bytes_of(jwk, "y");
  if (!y) return fail(std::move(y.error()));
  if (x->size() != curve->size || y->size() != curve->size)
    return bad(fmt::format("x and y of {} have {} bytes each", curve->name, curve->size));
  std::string point = "\x04" + *x + *y;  // uncompressed
  ParamBuilder builder(OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, curve->group, 0);
  OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size());
  Result<KeyPtr> key = make_key("EC", std::move(builder));
  if (!key) return fail(std::move(key.error()));
  if (!is_on_curve(key->get())) return bad("x and y are no point of the curve");
  return VerificationKey{curve->family, std::move(*key), {}};
}

Result<VerificationKey> read_okp(const Json& jwk) {
  if (jwk.text_of("crv").value_or("") != "Ed25519") return bad("crv of an OKP key must be Ed25519");
  Result<std::string> x = bytes_of(jwk, "x");
  if (!x) return fail(std::move(x.error()));
  if (x->size() != kEd25519Key) return bad("x of an Ed25519 key has 32 bytes");
  KeyPtr key(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr,
                                         reinterpret_cast<const uint8_t*>(x->data()), x->size()));
  if (!key) {
    ERR_clear_error();
    return bad("is no Ed25519 key");
  }
  return VerificationKey{Family::ed25519, std::move(key), {}};
}

Result<VerificationKey> read_secret(const Json& jwk) {
  Result<std::string> k = bytes_of(jwk, "k");
  if (!k) return fail(std::move(k.error()));
  return VerificationKey{Family::secret, nullptr, std::move(*k)};
}

Result<VerificationKey> read_material(const Json& jwk) {
  std::string_view type = jwk.text_of("kty").value_or("");
  if (type == "RSA") return read_rsa(jwk);
  if (type == "EC") return read_ec(jwk);
  if (type == "OKP") return read_okp(jwk);
  if (type == "oct") return read_secret(jwk);
  return bad("kty must be RSA, EC, OKP or oct");
}

// RFC 7517 §4.2, §4.3: a key published for something else.
bool is_for_signatures(const Json& jwk) {
  if (jwk.find("use") && jwk.text_of("use") != "sig") return false;
  const Json* operations = jwk.find("key_ops");
  if (!operations) return true;
  return std::ranges::any_of(operations->values, [](const Json& each) { return each.text == "verify"; });
}

// A member that must be text where it stands at all.
Result<std::string> optional_text(const Json& jwk, std::string_view name) {
  const Json* member = jwk.find(name);
  if (!member) return "";
  if (!member->is(Json::Kind::string)) return bad(fmt::format("{} is no string", name));
  return member->text;
}

Result<Jwk> read_jwk(const Json& jwk) {
  if (!jwk.is(Json::Kind::object)) return bad("is no object");
  if (!is_for_signatures(jwk)) return bad("is not for checking signatures (use, key_ops)");
  Result<std::string> id = optional_text(jwk, "kid");
  if (!id) return fail(std::move(id.error()));
  Result<std::string> name = optional_text(jwk, "alg");
  if (!name) return fail(std::move(name.error()));
  Jwk out{.id = std::move(*id), .algorithm = parse_jws_algorithm(*name), .key = {}};
  if (!name->empty() && !out.algorithm) return bad("alg " + quoted(*name) + " is not supported");
  Result<VerificationKey> key = read_material(jwk);
  if (!key) return fail(std::move(key.error()));
  out.key = std::move(*key);
  if (out.algorithm && !fits(out.key.family, *out.algorithm)) return bad("alg does not fit the key");
  return out;
}

}  // namespace

Result<std::shared_ptr<const Jwks>> Jwks::parse(std::string_view text) {
  std::optional<Json> root = text.size() <= kMaxJwksText ? parse_json(text) : std::nullopt;
  if (!root) return bad("is not JSON, has a member twice, or is too large");
  const Json* list = root->find("keys");
  if (!list || !list->is(Json::Kind::list)) return bad("has no list `keys`");
  if (list->values.size() > kMaxJwks) return bad(fmt::format("has more than {} keys", kMaxJwks));
  auto out = std::make_shared<Jwks>();
  for (size_t i = 0; i < list->values.size(); ++i) {
    Result<Jwk> key = read_jwk(list->values[i]);
    if (key)
      out->keys.push_back(std::move(*key));
    else
      out->skipped.push_back(fmt::format(
          "key {} ({}): {}", i, quoted(list->values[i].text_of("kid").value_or("")), key.error().detail));
  }
  if (out->keys.empty())
    return bad(fmt::format("has no key that can be used{}{}", out->skipped.empty() ? "" : ": ",
                           fmt::join(out->skipped, "; ")));
  return std::shared_ptr<const Jwks>(std::move(out));
}

}  // namespace ambientd::policy
