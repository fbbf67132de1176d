// SPDX-License-Identifier: Apache-2.0
#include "policy/jwt.h"

#include <fmt/format.h>

#include "policy/verified_token.h"
#include "test/support/catch.h"
#include "test/support/issuer.h"

using namespace ambientd;
using namespace ambientd::policy;
using test::base64url;
using test::Issuer;

namespace {

constexpr uint64_t kNow = 1'700'000'000;

std::string unsigned_token(std::string_view header, std::string_view payload = "{}") {
  return base64url(header) + "." + base64url(payload) + ".c2ln";
}

JwtFault parse_fault(std::string_view token) {
  std::expected<Jwt, JwtFault> parsed = Jwt::parse(token);
  REQUIRE_FALSE(parsed);
  return parsed.error();
}

Jwt parsed(std::string_view payload) {
  std::expected<Jwt, JwtFault> jwt = Jwt::parse(unsigned_token(R"({"alg":"ES256"})", payload));
  INFO(payload);
  REQUIRE(jwt);
  return std::move(*jwt);
}

JwksPtr set_of(const std::string& text) {
  Result<JwksPtr> set = Jwks::parse(text);
  REQUIRE(set);
  return *set;
}

// How checking `token` against `set` ends: empty, or the words of the fault.
std::string outcome(std::string_view token, const JwksPtr& set) {
  std::expected<Jwt, JwtFault> jwt = Jwt::parse(token);
  if (!jwt) return std::string(text(jwt.error()));
  std::expected<void, JwtFault> checked = check_signature(*jwt, *set);
  return checked ? "" : std::string(text(checked.error()));
}

JwtRule rule_of(std::string issuer, std::vector<std::string> audiences = {}) {
  JwtRule rule;
  rule.issuer = std::move(issuer);
  rule.audiences = std::move(audiences);
  return rule;
}

}  // namespace

TEST_CASE("a token is three base64url parts of which two are JSON objects") {
  struct Case {
    std::string token;
    JwtFault fault;
  };
  const std::string good = unsigned_token(R"({"alg":"RS256"})");
  const std::string alg = R"({"alg":"RS256"})";
  const Case cases[] = {
      {"", JwtFault::bad_form},
      {"a.b", JwtFault::bad_form},
      {"a.b.c.d", JwtFault::bad_form},
      {good + ".x", JwtFault::bad_form},
      {base64url(alg) + ".e30.", JwtFault::bad_form},
      {"." + good, JwtFault::bad_form},
      {good + std::string(kMaxToken, 'A'), JwtFault::bad_form},
      {"a+b=.e30.c2ln", JwtFault::header_not_base64},
      {base64url("[]") + ".e30.c2ln", JwtFault::header_not_json},
      {unsigned_token("nothing"), JwtFault::header_not_json},
      {unsigned_token(R"({"alg":"RS256","alg":"HS256"})"), JwtFault::header_not_json},
      {unsigned_token("{}"), JwtFault::alg_missing},
      {unsigned_token(R"({"alg":1})"), JwtFault::alg_missing},
      {unsigned_token(R"({"alg":"none"})"), JwtFault::alg_unsupported},
      {unsigned_token(R"({"alg":"rs256"})"), JwtFault::alg_unsupported},
      {unsigned_token(R"({"alg":"RS256","kid":1})"), JwtFault::kid_not_text},
      {base64url(alg) + ".e3=.c2ln", JwtFault::payload_not_base64},
      {base64url(alg) + ".e31.c2ln", JwtFault::payload_not_base64},
      {unsigned_token(alg, "[]"), JwtFault::payload_not_json},
      {unsigned_token(alg, R"({"sub":"a","sub":"b"})"), JwtFault::payload_not_json},
      {unsigned_token(alg, R"({"a":)" + std::string(40, '[') + std::string(40, ']') + "}"),
       JwtFault::payload_not_json},
      {unsigned_token(alg, R"({"iss":1})"), JwtFault::iss_not_text},
      {unsigned_token(alg, R"({"sub":1})"), JwtFault::sub_not_text},
      {unsigned_token(alg, R"({"jti":1})"), JwtFault::jti_not_text},
      {unsigned_token(alg, R"({"aud":1})"), JwtFault::aud_not_texts},
      {unsigned_token(alg, R"({"aud":["a",1]})"), JwtFault::aud_not_texts},
      {unsigned_token(alg, R"({"iat":"1"})"), JwtFault::iat_not_number},
      {unsigned_token(alg, R"({"nbf":"1"})"), JwtFault::nbf_not_number},
      {unsigned_token(alg, R"({"exp":"1"})"), JwtFault::exp_not_number},
      {unsigned_token(alg, R"({"iat":-1})"), JwtFault::iat_out_of_range},
      {unsigned_token(alg, R"({"nbf":-1})"), JwtFault::nbf_out_of_range},
      {unsigned_token(alg, R"({"exp":1e30})"), JwtFault::exp_out_of_range},
      {base64url(alg) + ".e30.c2l", JwtFault::signature_not_base64},
  };
  for (const Case& c : cases) {
    INFO(c.token.substr(0, 100));
    CHECK(text(parse_fault(c.token)) == text(c.fault));
    CHECK(status(c.fault) == 401);
  }
  CHECK(Jwt::parse(good));
}

TEST_CASE("a token is believed for its times and a minute of clock skew") {
  struct Case {
    std::string payload;
    std::string_view fault;
  };
  auto at = [](std::string_view name, int64_t offset) {
    return fmt::format(R"({{"iss":"i","{}":{}}})", name, static_cast<int64_t>(kNow) + offset);
  };
  const Case cases[] = {
      {at("exp", 1), ""},
      {at("exp", -60), ""},
      {at("exp", -61), "Jwt is expired"},
      {at("nbf", 60), ""},
      {at("nbf", 61), "Jwt not yet valid"},
      {R"({"iss":"i","exp":0})", "Jwt is expired"},
      {R"({"iss":"i","exp":1700000000.5})", ""},
      {R"({"iss":"i","exp":18446744073709551615})",
       "Jwt payload [exp] field is not a positive 64 bit integer"},
      {R"({"iss":"i","exp":18446744073709549568})", ""},
      {R"({"iss":"i"})", ""},
  };
  for (const Case& c : cases) {
    INFO(c.payload);
    std::expected<Jwt, JwtFault> jwt = Jwt::parse(unsigned_token(R"({"alg":"ES256"})", c.payload));
    std::expected<void, JwtFault> checked;
    if (!jwt)
      checked = std::unexpected(jwt.error());
    else
      checked = check_claims(*jwt, rule_of("i"), kNow);
    CHECK((checked ? "" : text(checked.error())) == c.fault);
  }
}

TEST_CASE("the issuer is compared exactly, and the audience without scheme and last slash") {
  struct Case {
    std::string payload;
    std::vector<std::string> audiences;
    std::string_view fault;
  };
  const std::string_view wrong = "Audiences in Jwt are not allowed", unknown = "Jwt issuer is not configured";
  const Case cases[] = {
      {R"({"iss":"i"})", {}, ""},
      {R"({"iss":"I"})", {}, unknown},
      {R"({"iss":"i/"})", {}, unknown},
      {R"({})", {}, unknown},
      {R"({"iss":"i"})", {"a"}, wrong},
      {R"({"iss":"i","aud":"a"})", {"a", "b"}, ""},
      {R"({"iss":"i","aud":["x","b"]})", {"a", "b"}, ""},
      {R"({"iss":"i","aud":["x"]})", {"a", "b"}, wrong},
      {R"({"iss":"i","aud":[]})", {"a"}, wrong},
      {R"({"iss":"i","aud":"https://a.example/"})", {"http://a.example"}, ""},
      {R"({"iss":"i","aud":"a.example//"})", {"a.example"}, wrong},
      {R"({"iss":"i","aud":"ab"})", {"a"}, wrong},
  };
  for (const Case& c : cases) {
    INFO(c.payload);
    std::expected<void, JwtFault> checked = check_claims(parsed(c.payload), rule_of("i", c.audiences), kNow);
    CHECK((checked ? "" : text(checked.error())) == c.fault);
  }
  CHECK(status(JwtFault::audience) == 403);
}

TEST_CASE("the key id chooses the key; without one each key that fits is tried") {
  Issuer one("ES256", "one"), two("ES256", "two"), plain("ES256"), rsa("RS256", "one");
  JwksPtr set = set_of(R"({"keys":[)" + one.jwk() + "," + two.jwk() + "," + rsa.jwk() + "]}");
  const std::string_view no_key = "Jwks doesn't have key to match kid or alg from Jwt",
                         bad = "Jwt verification fails";
  CHECK(outcome(one.token("{}"), set).empty());
  CHECK(outcome(two.token("{}"), set).empty());
  CHECK(outcome(rsa.token("{}"), set).empty());
  CHECK(outcome(two.token("{}", R"({"alg":"ES256"})"), set).empty());
  CHECK(outcome(two.token("{}", R"({"alg":"ES256","kid":"one"})"), set) == bad);
  CHECK(outcome(two.token("{}", R"({"alg":"ES256","kid":"three"})"), set) == no_key);
  CHECK(outcome(plain.token("{}"), set) == bad);
  CHECK(outcome(one.token("{}"), set_of(plain.jwks())) == bad);
  CHECK(outcome(one.token("{}"), set_of(R"({"keys":[)" + plain.jwk() + "," + one.jwk() + "]}")).empty());
}

TEST_CASE("a public key is never taken for a secret, whatever the token's header says") {
  Issuer rsa("RS256", "k"), secret("HS256", "k");
  for (const char* header : {R"({"alg":"HS256","kid":"k"})", R"({"alg":"HS256"})"}) {
    CHECK(outcome(rsa.token("{}", header), set_of(rsa.jwks())) == "Jwt verification fails");
    CHECK(outcome(secret.token("{}", header), set_of(rsa.jwks())) == "Jwt verification fails");
  }
  CHECK(outcome(secret.token("{}"), set_of(secret.jwks())).empty());
  std::string pinned = rsa.jwk();
  pinned.insert(1, R"("alg":"PS256",)");
  CHECK(outcome(rsa.token("{}"), set_of(R"({"keys":[)" + pinned + "]}")) ==
        "Jwks doesn't have key to match kid or alg from Jwt");
}

TEST_CASE(
    "keys that a token brings itself are not looked at, and extensions that must be understood refuse it") {
  Issuer good("ES256"), evil("ES256");
  std::string header = R"({"alg":"ES256","jwk":)" + evil.jwk() + "}";
  CHECK(outcome(evil.token("{}", header), set_of(good.jwks())) == "Jwt verification fails");
  CHECK(outcome(good.token("{}", R"({"alg":"ES256","crit":["b64"],"b64":false})"), set_of(good.jwks())) ==
        "Jwt verification fails");
  Issuer ed("EdDSA");
  std::string token = ed.token("{}");
  CHECK(outcome(token.substr(0, token.size() - 2), set_of(ed.jwks())) ==
        "Jwt ED25519 signature is wrong length");
}

TEST_CASE("a token's text claims are there by their path, lists item by item") {
  VerifiedToken token(
      parsed(R"({"iss":"i","sub":"s","aud":["a","b"],"azp":"app","realm":{"roles":["admin",1,"dev"],
      "deep":{"x":"y"}},"scope":"read  write","other":"p q","n":1,"t":true,"none":null,"":"empty"})"),
      rule_of("i"));
  const std::vector<Claim> wanted = {
      {{"iss"}, "i"},
      {{"sub"}, "s"},
      {{"aud"}, "a"},
      {{"aud"}, "b"},
      {{"azp"}, "app"},
      {{"realm", "roles"}, "admin"},
      {{"realm", "roles"}, "dev"},
      {{"realm", "deep", "x"}, "y"},
      {{"scope"}, "read"},
      {{"scope"}, "write"},
      {{"other"}, "p q"},
      {{""}, "empty"},
  };
  CHECK(token.claims == wanted);
  JwtRule rule = rule_of("i");
  rule.space_delimited = {"other"};
  VerifiedToken split(parsed(R"({"other":"p q","a":{"scope":"x y"}})"), rule);
  CHECK(split.claims == std::vector<Claim>{{{"other"}, "p"}, {{"other"}, "q"}, {{"a", "scope"}, "x y"}});
}

TEST_CASE("a claim becomes a header's value when it is one") {
  VerifiedToken token(
      parsed(R"({"s":"text","i":-7,"n":1.5,"t":true,"f":false,"l":["a"],"o":{"a":{"b":"deep"}},
      "x.y":"dotted","x":{"y":"nested"},"crlf":"a\r\nb: c","space":" a","empty":"","utf":"é"})"),
      rule_of("i"));
  struct Case {
    const char* name;
    std::optional<std::string> want;
  };
  const Case cases[] = {{"s", "text"},  {"i", "-7"},       {"n", "1.500000"}, {"t", "true"},
                        {"f", "false"}, {"l", {}},         {"o", {}},         {"o.a.b", "deep"},
                        {"o.a.c", {}},  {"x.y", "dotted"}, {"crlf", {}},      {"space", {}},
                        {"empty", {}},  {"utf", "é"},      {"nothing", {}},   {"s.t", {}}};
  for (const Case& c : cases) {
    INFO(c.name);
    CHECK(token.header_value(c.name) == c.want);
  }
}
