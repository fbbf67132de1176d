// SPDX-License-Identifier: Apache-2.0
#include "policy/jwk.h"

#include "test/support/catch.h"
#include "test/support/issuer.h"

using namespace ambientd;
using namespace ambientd::policy;
using Catch::Contains;
using test::Issuer;

namespace {

// Of RFC 7517 A.1.
constexpr std::string_view kEc =
    R"("kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM")";

std::string why_not(const std::string& text) {
  Result<JwksPtr> set = Jwks::parse(text);
  return set ? "it was taken" : set.error().detail;
}

std::string why_no_key(std::string_view members) {
  return why_not(R"({"keys":[{)" + std::string(members) + "}]}");
}

}  // namespace

TEST_CASE("a set keeps the keys it can use and says why it leaves out the others") {
  Issuer rsa("RS256", "r"), ed("EdDSA");
  std::string encryption = "{" + std::string(kEc) + R"(,"use":"enc","kid":"1"})";
  Result<JwksPtr> set = Jwks::parse(R"({"keys":[)" + encryption + "," + rsa.jwk() + "," + ed.jwk() + "]}");
  REQUIRE(set);
  REQUIRE((*set)->keys.size() == 2);
  CHECK((*set)->keys[0].id == "r");
  CHECK((*set)->keys[0].key.family == VerificationKey::Family::rsa);
  CHECK((*set)->keys[1].id.empty());
  CHECK((*set)->keys[1].key.family == VerificationKey::Family::ed25519);
  REQUIRE((*set)->skipped.size() == 1);
  CHECK((*set)->skipped[0] == R"(key 0 ("1"): is not for checking signatures (use, key_ops))");
}

TEST_CASE("a key that is not safe to use is left out") {
  struct Case {
    std::string members, why;
  };
  const std::string ec(kEc);
  const Case cases[] = {
      {R"("kty":"RSA","n":"AQAB","e":"AQAB")", "RSA key of 17 bits"},
      {R"("kty":"RSA","n":")" + std::string(2000, 'A') + R"(","e":"AQAB")", "too large"},
      {R"("kty":"RSA","n":")" + std::string(341, '_') + R"(w","e":"AQ")", "bad exponent"},
      {R"("kty":"RSA","e":"AQAB")", "n is missing"},
      {R"("kty":"RSA","n":5,"e":"AQAB")", "n is missing or no string"},
      {R"("kty":"RSA","n":"a+b/","e":"AQAB")", "n is no base64url"},
      {R"("kty":"EC","crv":"P-256","x":"AAAA","y":"AAAA")", "32 bytes each"},
      {R"("kty":"EC","crv":"secp256k1","x":"AAAA","y":"AAAA")", "must be P-256, P-384 or P-521"},
      {R"("kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4")",
       "EC"},
      {R"("kty":"OKP","crv":"X25519","x":"AAAA")", "must be Ed25519"},
      {R"("kty":"OKP","crv":"Ed25519","x":"AAAA")", "32 bytes"},
      {R"("kty":"oct","k":"")", "k is no base64url"},
      {R"("kty":"oct")", "k is missing"},
      {R"("kty":"PEM")", "kty must be"},
      {R"("kid":"x")", "kty must be"},
      {ec + R"(,"alg":"RS256")", "alg does not fit the key"},
      {ec + R"(,"alg":"ES384")", "alg does not fit the key"},
      {ec + R"(,"alg":"none")", R"(alg "none" is not supported)"},
      {ec + R"(,"alg":7)", "alg is no string"},
      {ec + R"(,"kid":7)", "kid is no string"},
      {ec + R"(,"use":"enc")", "not for checking signatures"},
      {ec + R"(,"key_ops":["encrypt"])", "not for checking signatures"},
  };
  for (const Case& c : cases) {
    INFO(c.members);
    CHECK_THAT(why_no_key(c.members), Contains(c.why));
  }
  CHECK(why_no_key(ec + R"(,"use":"sig","key_ops":["verify"],"alg":"ES256","x5t":"more")") == "it was taken");
}

TEST_CASE("what is no key set is refused as a whole") {
  for (const char* text : {"", "[]", "{}", R"({"keys": {}})", R"({"keys": []})",
                           R"({"keys": [1, "x", null]})", R"({"keys": [], "keys": []})"}) {
    INFO(text);
    CHECK_FALSE(Jwks::parse(text));
  }
  CHECK_FALSE(Jwks::parse(Issuer("ES256").jwks() + std::string(kMaxJwksText, ' ')));
  std::string many = Issuer("ES256").jwk();
  std::string list = many;
  for (size_t i = 0; i < kMaxJwks; ++i) list += "," + many;
  CHECK_THAT(why_not(R"({"keys":[)" + list + "]}"), Contains("more than 64 keys"));
}
