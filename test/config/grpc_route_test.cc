// SPDX-License-Identifier: Apache-2.0
#include "config/route.h"
#include "test/config/given.h"

namespace ambientd::config {
namespace {

const std::string kServices = waypoint("demo", "waypoint") +
                              service("demo", "a", "10.1.0.1", "istio.io/use-waypoint: waypoint") +
                              service("demo", "b", "10.1.0.2");

std::string route(std::string_view rules, std::string_view kind = "GRPCRoute") {
  return fmt::format(
      "---\napiVersion: gateway.networking.k8s.io/v1\nkind: {}\nmetadata: {{name: r, namespace: demo}}\n"
      "spec:\n  parentRefs: [{{group: '', kind: Service, name: a}}]\n  rules: [{}]\n",
      kind, rules);
}

HttpRoutes routes_of(std::string_view text) {
  SnapshotPtr snapshot = snapshot_of(kServices + std::string(text));
  const HttpRoutes* found = snapshot->routes("demo/a.demo.svc.cluster.local", 80);
  return found ? *found : HttpRoutes{};
}

}  // namespace

TEST_CASE("a call's service and method are matched as its path") {
  using Kind = PathMatch::Kind;
  struct Case {
    const char* match;
    Kind kind;
    const char* path;
  };
  const Case cases[] = {
      {"{method: {service: shop.Cart, method: Add}}", Kind::exact, "/shop.Cart/Add"},
      {"{method: {service: shop.Cart}}", Kind::prefix, "/shop.Cart"},
      {"{method: {method: Add}}", Kind::regex, "/[^/]+/(?:Add)"},
      {"{method: {type: RegularExpression, service: 'shop[.].*', method: 'A|B'}}", Kind::regex,
       "/(?:shop[.].*)/(?:A|B)"},
      {"{headers: [{name: X-A, value: '1'}]}", Kind::prefix, "/"},
  };
  for (const Case& c : cases) {
    INFO(c.match);
    HttpRoutes routes =
        routes_of(route(fmt::format("{{matches: [{}], backendRefs: [{{name: b, port: 80}}]}}", c.match)));
    REQUIRE(routes.rules.size() == 1);
    CHECK(routes.rules[0].match.path.kind == c.kind);
    CHECK(routes.rules[0].match.path.value == c.path);
    CHECK(routes.rules[0].backends.at(0).service == "demo/b.demo.svc.cluster.local");
  }
}

TEST_CASE("GRPCRoutes and HTTPRoutes of one name stand side by side, in one order") {
  HttpRoutes routes = routes_of(route("{name: any}", "HTTPRoute") +
                                route("{name: call, matches: [{method: {service: s, method: m}}]}"));
  REQUIRE(routes.rules.size() == 2);
  CHECK(routes.rules[0].name == "call");
  CHECK(routes.rules[1].name == "any");
}

TEST_CASE("what is wrong in a GRPCRoute is an error with its path") {
  struct Case {
    const char* rule;
    const char* error;
  };
  const Case cases[] = {
      {"{matches: [{method: {type: Exact}}]}",
       "spec.rules[0].matches[0].method: must name a service, a method or both"},
      {"{matches: [{method: {service: 'a/b'}}]}",
       "spec.rules[0].matches[0].method.service: must be a name of letters, digits, _ and ., not \"a/b\""},
      {"{matches: [{method: {type: RegularExpression, method: '('}}]}",
       "spec.rules[0].matches[0].method: is not a regular expression of RE2, or too large: \"/[^/]+/(?:()\""},
      {"{matches: [{path: {value: /}}]}", "spec.rules[0].matches[0].path: unknown field"},
      {"{filters: [{type: RequestRedirect, requestRedirect: {hostname: x}}]}",
       "spec.rules[0].filters: of a GRPCRoute can only modify headers"},
  };
  for (const Case& c : cases) {
    INFO(c.rule);
    CHECK_THAT(errors_of(kServices + route(c.rule)),
               Catch::EndsWith(fmt::format("GRPCRoute demo/r: {}", c.error)));
  }
}

}  // namespace ambientd::config
