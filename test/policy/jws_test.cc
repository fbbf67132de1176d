// SPDX-License-Identifier: Apache-2.0
// Signatures of the RFCs' own examples (test/fixtures/jose), and of each algorithm under fresh keys.
#include "policy/jws.h"

#include <fstream>
#include <iterator>

#include "core/text.h"
#include "policy/json.h"
#include "policy/jwk.h"
#include "test/support/catch.h"
#include "test/support/issuer.h"

using namespace ambientd;
using namespace ambientd::policy;
using test::Issuer;

namespace {

constexpr const char* kAlgorithms[] = {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256",
                                       "ES384", "ES512", "EdDSA", "HS256", "HS384", "HS512"};

std::string rewrite(const Json& json) {  // back to text; objects of text and lists of them only
  if (json.is(Json::Kind::string)) return quoted(json.text);
  bool list = json.is(Json::Kind::list);
  std::string out;
  for (size_t i = 0; i < json.values.size(); ++i)
    out += (i ? "," : "") + (list ? "" : quoted(json.keys[i]) + ":") + rewrite(json.values[i]);
  return list ? "[" + out + "]" : "{" + out + "}";
}

Json vectors() {
  std::ifstream file("test/fixtures/jose/rfc_vectors.json");
  std::string text{std::istreambuf_iterator<char>(file), {}};
  std::optional<Json> json = parse_json(text);
  REQUIRE(json);
  return std::move(*json);
}

JwksPtr one_key(const std::string& jwk) {
  Result<JwksPtr> set = Jwks::parse(R"({"keys":[)" + jwk + "]}");
  INFO((set ? "" : set.error().detail));
  REQUIRE(set);
  return *set;
}

struct Parts {
  std::string signed_text, signature;
  JwsAlgorithm algorithm;
};

Parts take_apart(std::string_view token) {
  std::vector<std::string_view> parts = split(token, '.');
  REQUIRE(parts.size() == 3);
  std::optional<Json> header = parse_json(from_base64url(parts[0]).value_or(""));
  REQUIRE(header);
  std::optional<JwsAlgorithm> algorithm = parse_jws_algorithm(header->text_of("alg").value_or(""));
  REQUIRE(algorithm);
  return {std::string(parts[0]) + "." + std::string(parts[1]), from_base64url(parts[2]).value_or(""),
          *algorithm};
}

}  // namespace

TEST_CASE("the signatures of the RFCs' examples are good, and no others") {
  Json all = vectors();
  REQUIRE(all.find("signatures")->values.size() == 9);
  for (const Json& vector : all.find("signatures")->values) {
    INFO(vector.text_of("name").value_or(""));
    JwksPtr set = one_key(rewrite(*vector.find("jwk")));
    const VerificationKey& key = set->keys[0].key;
    Parts token = take_apart(vector.text_of("token").value_or(""));
    CHECK(verify_signature(key, token.algorithm, token.signed_text, token.signature));
    CHECK_FALSE(verify_signature(key, token.algorithm, token.signed_text + "x", token.signature));
    token.signature.back() ^= 1;
    CHECK_FALSE(verify_signature(key, token.algorithm, token.signed_text, token.signature));
  }
}

TEST_CASE("every algorithm checks signatures of its own, of its own key, and of nothing else") {
  for (const char* name : kAlgorithms) {
    INFO(name);
    Issuer issuer(name), stranger(std::string(name).starts_with("HS") ? "RS256" : name);
    std::string signature = issuer.sign("text");
    JwksPtr own = one_key(issuer.jwk()), other = one_key(stranger.jwk());
    JwsAlgorithm algorithm = *parse_jws_algorithm(name);
    CHECK(verify_signature(own->keys[0].key, algorithm, "text", signature));
    CHECK_FALSE(verify_signature(own->keys[0].key, algorithm, "texT", signature));
    CHECK_FALSE(verify_signature(own->keys[0].key, algorithm, "text", signature + "x"));
    CHECK_FALSE(verify_signature(own->keys[0].key, algorithm, "text", ""));
    CHECK_FALSE(verify_signature(other->keys[0].key, algorithm, "text", signature));
    for (const char* another : kAlgorithms)
      if (std::string_view(another) != name)
        CHECK_FALSE(verify_signature(own->keys[0].key, *parse_jws_algorithm(another), "text", signature));
  }
}

TEST_CASE("an ECDSA signature of zeros is none") {
  JwksPtr key = one_key(Issuer("ES256").jwk());
  CHECK_FALSE(verify_signature(key->keys[0].key, JwsAlgorithm::es256, "text", std::string(64, '\0')));
}

TEST_CASE("none and other names are no algorithms") {
  for (const char* name : {"none", "None", "", "rs256", "RS1", "HS256 ", "ES256K"}) {
    INFO(name);
    CHECK_FALSE(parse_jws_algorithm(name));
  }
}
