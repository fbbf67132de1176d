// SPDX-License-Identifier: Apache-2.0
#include "test/config/given.h"
#include "test/support/issuer.h"

namespace ambientd::config {
namespace {

constexpr std::string_view kService = "demo/a.demo.svc.cluster.local";
constexpr std::string_view kTarget = "targetRefs: [{kind: Service, name: a}]";

std::string given(std::string_view spec, std::string_view ns = "demo") {
  return waypoint("demo", "waypoint") + service("demo", "a", "10.1.0.1", "istio.io/use-waypoint: waypoint") +
         fmt::format(
             "---\n{{apiVersion: security.istio.io/v1, kind: RequestAuthentication, metadata: {{name: "
             "jwt, namespace: {}}}, spec: {{{}}}}}\n",
             ns, spec);
}

std::string rule_text(std::string_view members) {
  return given(fmt::format("{}, jwtRules: [{{{}}}]", kTarget, members));
}

policy::JwtRulePtr only_rule(std::string_view members) {
  Mesh mesh = mesh_of(rule_text(members));
  std::vector<policy::JwtRulePtr> rules = mesh.jwt_rules.on(kService, "demo/waypoint");
  REQUIRE(rules.size() == 1);
  return rules[0];
}

}  // namespace

TEST_CASE("a jwtRule is read with the API's defaults") {
  policy::JwtRulePtr rule = only_rule("issuer: 'https://idp'");
  CHECK(rule->name == "demo/jwt rule 0");
  CHECK(rule->issuer == "https://idp");
  CHECK(rule->audiences.empty());
  CHECK(rule->headers == std::vector<policy::TokenHeader>{{"authorization", "Bearer "}});
  CHECK(rule->params == std::vector<std::string>{"access_token"});
  CHECK(rule->cookies.empty());
  CHECK_FALSE(rule->forward);
  CHECK(rule->timeout == std::chrono::seconds(5));
  CHECK(rule->key_source() == "discovery https://idp");
}

TEST_CASE("every field of a jwtRule is read") {
  policy::JwtRulePtr rule = only_rule(
      "issuer: i, audiences: [x, y], jwksUri: 'http://keys.demo:8080/jwks', fromHeaders: [{name: X-Token, "
      "prefix: "
      "'T '}, {name: b}], fromParams: [p], fromCookies: [c], outputPayloadToHeader: X-Payload, "
      "outputClaimToHeaders: [{header: X-Sub, claim: sub}], forwardOriginalToken: true, timeout: 2s, "
      "spaceDelimitedClaims: [roles]");
  CHECK(rule->audiences == std::vector<std::string>{"x", "y"});
  CHECK(rule->jwks_uri == "http://keys.demo:8080/jwks");
  CHECK(rule->key_source() == rule->jwks_uri);
  CHECK(rule->headers == std::vector<policy::TokenHeader>{{"x-token", "T "}, {"b", ""}});
  CHECK(rule->params == std::vector<std::string>{"p"});
  CHECK(rule->cookies == std::vector<std::string>{"c"});
  CHECK(rule->payload_header == "x-payload");
  CHECK(rule->claim_headers == std::vector<policy::ClaimHeader>{{"x-sub", "sub"}});
  CHECK(rule->forward);
  CHECK(rule->timeout == std::chrono::seconds(2));
  CHECK(rule->space_delimited == std::vector<std::string>{"roles"});
}

TEST_CASE("inline keys are parsed once, and those that cannot be used are named") {
  test::Issuer issuer("ES256", "k");
  policy::JwtRulePtr rule = only_rule("issuer: i, jwks: '" + issuer.jwks() + "'");
  REQUIRE(rule->jwks);
  CHECK(rule->jwks->keys.at(0).id == "k");
  CHECK(rule->key_source().empty());
  std::string some = R"({"keys":[{"kty":"oct"},)" + issuer.jwk() + "]}";
  CHECK_THAT(
      warnings_of(rule_text("issuer: i, jwks: '" + some + "'")),
      Catch::Contains("spec.jwtRules[0].jwks: key 0 (\"\"): k is missing or no string, and has no effect"));
}

TEST_CASE("a jwtRule that does not say what it means is refused by name") {
  struct Case {
    std::string_view members, error;
  };
  const Case cases[] = {
      {"audiences: [a]", "spec.jwtRules[0].issuer: is required"},
      {"issuer: i, issuers: [x]", "spec.jwtRules[0].issuers: unknown field"},
      {"issuer: i, audiences: ['']", "spec.jwtRules[0].audiences[0]: must not be empty"},
      {"issuer: i, jwksUri: 'ftp://x'", "spec.jwtRules[0].jwksUri: must be an http or https URL"},
      {"issuer: i, jwksUri: 'http://x', jwks: '{}'", "spec.jwtRules[0].jwksUri: cannot stand beside jwks"},
      {"issuer: i, jwks: '{}'", "spec.jwtRules[0].jwks: has no list `keys`"},
      {"issuer: i, jwks: '{\"keys\":[]}'", "spec.jwtRules[0].jwks: has no key that can be used"},
      {"issuer: i, fromHeaders: [{prefix: x}]", "spec.jwtRules[0].fromHeaders[0].name: is required"},
      {"issuer: i, fromHeaders: [{name: 'a b'}]", "fromHeaders[0].name: must be a header name"},
      {"issuer: i, fromHeaders: [{name: a, value: x}]", "fromHeaders[0].value: unknown field"},
      {"issuer: i, fromParams: ['']", "spec.jwtRules[0].fromParams[0]: must not be empty"},
      {"issuer: i, outputPayloadToHeader: Host",
       "outputPayloadToHeader: \"host\" frames or routes the request"},
      {"issuer: i, outputClaimToHeaders: [{header: x}]", "outputClaimToHeaders[0].claim: is required"},
      {"issuer: i, outputClaimToHeaders: [{header: 'content-length', claim: x}]", "frames or routes"},
      {"issuer: i, timeout: never", "spec.jwtRules[0].timeout: must be a duration"},
      {"issuer: i, forwardOriginalToken: 1", "must be true or false"},
  };
  for (const Case& c : cases) {
    INFO(c.members);
    CHECK_THAT(errors_of(rule_text(c.members)), Catch::Contains(std::string(c.error)));
  }
}

TEST_CASE("a RequestAuthentication counts where its targetRefs point, as an AuthorizationPolicy does") {
  auto rules = [](std::string_view spec, std::string_view ns = "demo") {
    Mesh mesh = mesh_of(given(fmt::format("{}, jwtRules: [{{issuer: i}}, {{issuer: j}}]", spec), ns));
    return std::tuple(mesh.jwt_rules.on(kService, "demo/waypoint").size(),
                      mesh.jwt_rules.on("demo/b.demo.svc.cluster.local", "demo/waypoint").size(),
                      mesh.jwt_rules.on(kService, "demo/other").size());
  };
  CHECK(rules(kTarget) == std::tuple(2, 0, 2));
  CHECK(rules("targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: waypoint}]") ==
        std::tuple(2, 2, 0));
  CHECK(rules("targetRefs: [{group: gateway.networking.k8s.io, kind: GatewayClass, name: istio-waypoint}]",
              "istio-system") == std::tuple(2, 2, 2));
  CHECK(rules("selector: {matchLabels: {app: a}}") == std::tuple(0, 0, 0));
}

TEST_CASE("a RequestAuthentication that nothing enforces, or that refuses every token, says so") {
  CHECK_THAT(warnings_of(given("selector: {matchLabels: {app: a}}, jwtRules: [{issuer: i}]")),
             Catch::Contains("without targetRefs it is for sidecars and gateways"));
  CHECK_THAT(warnings_of(rule_text("issuer: i")), Catch::Contains("it refuses every token"));
  CHECK_THAT(warnings_of(given(kTarget)), Catch::Contains("has no jwtRules and has no effect"));
  CHECK(warnings_of(rule_text("issuer: 'https://idp.example'")).empty());
}

}  // namespace ambientd::config
