// SPDX-License-Identifier: Apache-2.0
#include "l7/authenticate.h"

#include <fmt/format.h>

#include "test/support/catch.h"
#include "test/support/issuer.h"

using namespace ambientd;
using namespace ambientd::l7;
using policy::JwtRule;
using policy::JwtRulePtr;
using test::Issuer;

namespace {

constexpr uint64_t kNow = 1'700'000'000;

JwtRule rule_of(std::string name, const Issuer* inline_keys = nullptr) {
  JwtRule rule;
  rule.issuer = std::move(name);
  rule.headers = {{"authorization", "Bearer "}};
  rule.jwks_uri = "http://keys/" + rule.issuer;
  if (inline_keys) rule.jwks = *policy::Jwks::parse(inline_keys->jwks());
  return rule;
}

std::string claims(std::string_view issuer, std::string_view more = "") {
  return fmt::format(R"({{"iss":"{}","sub":"alice"{}}})", issuer, more);
}

struct Filter {
  JwtRulePtr add(JwtRule rule) {
    rules.push_back(std::make_shared<const JwtRule>(std::move(rule)));
    return rules.back();
  }
  Authentication ask(const std::vector<std::string>& tokens, uint64_t now = kNow) {
    request.fields.clear();
    for (const std::string& token : tokens) add_field(request.fields, "authorization", "Bearer " + token);
    return authenticate({.rules = rules, .keys = keys, .cache = cache, .now = now}, request);
  }
  std::string why(const std::vector<std::string>& tokens, uint64_t now = kNow) {
    Authentication found = ask(tokens, now);
    if (found.waiting) return "waiting";
    return found.fault ? std::string(policy::text(*found.fault)) : found.token ? "good" : "none";
  }

  std::vector<JwtRulePtr> rules;
  KeyTable keys;
  TokenCache cache;
  Request request;
};

}  // namespace

TEST_CASE("a request passes with a good token, with none, and with no bad one beside it") {
  Issuer one("ES256"), stranger("ES256");
  Filter filter;
  filter.add(rule_of("one", &one));
  std::string good = one.token(claims("one")), bad = stranger.token(claims("one"));
  CHECK(filter.why({}) == "none");
  CHECK(filter.why({good}) == "good");
  CHECK(filter.why({good, good}) == "good");
  CHECK(filter.why({bad}) == "Jwt verification fails");
  CHECK(filter.why({good, bad}) == "Jwt verification fails");
  CHECK(filter.why({bad, good}) == "Jwt verification fails");
}

TEST_CASE("of several rules one that believes is enough, and else the first that does not says why") {
  Issuer one("ES256"), two("EdDSA");
  Filter filter;
  filter.add(rule_of("one", &one));
  JwtRulePtr second = filter.add(rule_of("two", &two));
  CHECK(filter.why({one.token(claims("one"))}) == "good");
  Authentication found = filter.ask({two.token(claims("two"))});
  CHECK(found.rule == second);
  CHECK(found.token->jwt.subject == "alice");
  CHECK(filter.why({two.token(claims("one"))}) == "Jwt verification fails");
  CHECK(filter.why({one.token(claims("one", R"(,"exp":1)"))}) == "Jwt is expired");
  CHECK(filter.why({one.token(claims("three"))}) == "Jwt issuer is not configured");
}

TEST_CASE("keys that were never fetched are waited for; keys that could not be had refuse") {
  Issuer issuer("ES256", "k");
  Filter filter;
  JwtRulePtr rule = filter.add(rule_of("one"));
  std::string token = issuer.token(claims("one"));
  CHECK(filter.why({token}) == "waiting");
  CHECK(filter.why({issuer.token(claims("other"))}) == "Jwt issuer is not configured");
  filter.keys[rule->key_source()] = {};
  CHECK(filter.why({token}) == "waiting");
  filter.keys[rule->key_source()].settled = true;
  CHECK(filter.why({token}) == "Jwks remote fetch is failed");
  filter.keys[rule->key_source()].keys = *policy::Jwks::parse(issuer.jwks());
  CHECK(filter.why({token}) == "good");
  Issuer rotated("ES256", "new");
  Authentication found = filter.ask({rotated.token(claims("one"))});
  CHECK(found.missed == std::vector<std::string>{"http://keys/one"});
}

TEST_CASE("a good signature is remembered, and nothing else of a token") {
  Issuer issuer("ES256"), another("ES256");
  Filter filter;
  JwtRulePtr rule = filter.add(rule_of("one"));
  KeySet& set = filter.keys[rule->key_source()];
  set = {.keys = *policy::Jwks::parse(issuer.jwks()), .settled = true, .missed = nullptr};
  std::string token = issuer.token(claims("one", fmt::format(R"(,"exp":{})", kNow)));
  policy::VerifiedTokenPtr first = filter.ask({token}).token;
  REQUIRE(first);
  CHECK(filter.ask({token}).token == first);
  CHECK(filter.cache.size() == 1);
  CHECK(filter.why({token}, kNow + 61) == "Jwt is expired");
  CHECK(filter.why({token + "A"}) != "good");
  set.keys = *policy::Jwks::parse(another.jwks());
  CHECK(filter.why({token}) == "Jwt verification fails");
  filter.rules[0] = std::make_shared<const JwtRule>(rule_of("two", &issuer));
  CHECK(filter.why({token}) == "Jwt issuer is not configured");
}

TEST_CASE("the cache of tokens is bounded, and keeps those that come again") {
  Issuer issuer("HS256");
  Filter filter;
  filter.add(rule_of("one", &issuer));
  std::string kept = issuer.token(claims("one"));
  policy::VerifiedTokenPtr first = filter.ask({kept}).token;
  for (size_t i = 0; i < 3 * TokenCache::kGeneration; ++i) {
    REQUIRE(filter.why({issuer.token(claims("one", fmt::format(R"(,"n":{})", i)))}) == "good");
    if (i % 100 == 0) REQUIRE(filter.ask({kept}).token == first);
  }
  CHECK(filter.cache.size() <= 2 * TokenCache::kGeneration);
}

TEST_CASE("what a rule passes on replaces what the client sent in its place") {
  Issuer issuer("ES256");
  JwtRule given = rule_of("one", &issuer);
  given.payload_header = "x-payload";
  given.claim_headers = {{"x-sub", "sub"}, {"x-none", "none"}};
  Filter filter;
  JwtRulePtr rule = filter.add(given);
  std::string token = issuer.token(claims("one"));
  Authentication found = filter.ask({token});
  for (const char* name : {"x-payload", "x-sub", "x-none", "x-other"})
    add_field(filter.request.fields, name, "forged");
  remove_outputs(filter.rules, filter.request);
  CHECK(filter.request.fields == Fields{{"authorization", "Bearer " + token}, {"x-other", "forged"}});
  pass_on(*rule, *found.token, filter.request);
  CHECK(filter.request.fields ==
        Fields{{"x-other", "forged"}, {"x-payload", test::base64url(claims("one"))}, {"x-sub", "alice"}});
}

TEST_CASE("the challenge names the address asked for, cut, and cannot be broken out of") {
  Request request;
  request.authority = "a\"b";
  request.path = "/" + std::string(300, 'x');
  CHECK(challenge(request) ==
        "Bearer realm=\"http://a%22b/" + std::string(255, 'x') + "\", error=\"invalid_token\"");
}
