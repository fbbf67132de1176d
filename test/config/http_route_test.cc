// SPDX-License-Identifier: Apache-2.0
#include "config/route.h"

#include "test/config/given.h"

namespace ambientd::config {
namespace {

const std::string kServices = waypoint("demo", "waypoint") +
                              service("demo", "a", "10.1.0.1", "istio.io/use-waypoint: waypoint",
                                      "{port: 80, name: http}, {port: 81, name: other}") +
                              service("demo", "b", "10.1.0.2") + service("far", "c", "10.1.0.3");

std::string route(std::string_view rules, std::string_view parent = "{group: '', kind: Service, name: a}",
                  std::string_view meta = "name: r, namespace: demo") {
  return fmt::format(
      "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{{}}}\nspec:\n  "
      "parentRefs: [{}]\n  "
      "rules: [{}]\n",
      meta, parent, rules);
}

HttpRoutes routes_of(std::string_view text, uint16_t port = 80) {
  SnapshotPtr snapshot = snapshot_of(kServices + std::string(text));
  const HttpRoutes* found = snapshot->routes("demo/a.demo.svc.cluster.local", port);
  return found ? *found : HttpRoutes{};
}

std::string names(const HttpRoutes& routes) {
  std::string out;
  for (const RouteRule& rule : routes.rules) out += (out.empty() ? "" : " ") + rule.name;
  return out;
}

}  // namespace

TEST_CASE("rules stand in order of precedence, whatever order they were written in") {
  HttpRoutes routes = routes_of(
      route("{name: regex, matches: [{path: {type: RegularExpression, value: '/a/very/long/expression.*'}}]},"
            "{name: any},"
            "{name: prefix, matches: [{path: {type: PathPrefix, value: /abc}}]},"
            "{name: exact, matches: [{path: {type: Exact, value: /a}}]},"
            "{name: longer, matches: [{path: {type: PathPrefix, value: /abc/de}}]},"
            "{name: query, matches: [{path: {value: /abc}, queryParams: [{name: q, value: '1'}]}]},"
            "{name: header, matches: [{path: {value: /abc}, headers: [{name: X-A, value: '1'}]}]},"
            "{name: headers, matches: [{path: {value: /abc}, headers: [{name: X-A, value: '1'}, {name: X-B, "
            "value: '1'}]}]},"
            "{name: method, matches: [{path: {value: /abc}, method: GET}]}"));
  CHECK(names(routes) == "exact longer method headers header query prefix any regex");
}

TEST_CASE("among equals the oldest route is first, then the name, then the order of rules and matches") {
  std::string rule = "{{name: {}, matches: [{{path: {{value: /x}}}}, {{path: {{value: /y}}}}]}}";
  auto made = [&](std::string_view name, std::string_view created) {
    return route(fmt::format(fmt::runtime(rule), name) + "," +
                     fmt::format(fmt::runtime(rule), std::string(name) + "2"),
                 "{group: '', kind: Service, name: a}",
                 fmt::format("name: {}, namespace: demo, creationTimestamp: '{}'", name, created));
  };
  HttpRoutes routes = routes_of(made("z", "2024-01-01T00:00:00Z") + made("b", "2024-02-01T00:00:00Z") +
                                made("a", "2024-02-01T00:00:00Z"));
  CHECK(names(routes) == "z z z2 z2 a a a2 a2 b b b2 b2");
}

TEST_CASE("every match of a rule is a rule of its own, and none is the prefix /") {
  HttpRoutes routes = routes_of(route("{matches: [{method: GET}, {path: {value: /a/}}]}, {}"));
  REQUIRE(routes.rules.size() == 3);
  CHECK(routes.routed);
  CHECK(routes.rules[0].match.path.value == "/a");
  CHECK(routes.rules[1].match.method->value == "GET");
  CHECK(routes.rules[2].match == RouteMatch{});
}

TEST_CASE("matches, filters and backends arrive as written") {
  HttpRoutes routes = routes_of(route(
      "{name: n, matches: [{headers: [{name: X-A, value: '1'}, {name: x-a, value: '2'}, {name: X-B, type: "
      "RegularExpression, value: 'v[0-9]+'}], queryParams: [{name: Q, value: x}]}],"
      "filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: X-S, value: s}], add: "
      "[{name: X-D, "
      "value: d}], remove: [X-R]}}, {type: ResponseHeaderModifier, responseHeaderModifier: {remove: [X-Q]}}],"
      "backendRefs: [{name: b, port: 80, weight: 3, filters: [{type: RequestHeaderModifier, "
      "requestHeaderModifier: "
      "{set: [{name: x-b, value: b}]}}]}, {name: c, namespace: far, port: 80, weight: 0}]}"));
  REQUIRE(routes.rules.size() == 1);
  const RouteRule& rule = routes.rules[0];
  REQUIRE(rule.match.headers.size() == 2);
  CHECK(rule.match.headers[0].name == "x-a");
  CHECK(rule.match.headers[0].text.value == "1");
  CHECK(rule.match.headers[1].text.regex->full_match("v12"));
  CHECK_FALSE(rule.match.headers[1].text.regex->full_match("xv12"));
  CHECK(rule.match.query[0].name == "Q");
  CHECK(rule.request_headers.set.at(0) == std::pair<std::string, std::string>("x-s", "s"));
  CHECK(rule.request_headers.remove.at(0) == "x-r");
  CHECK(rule.response_headers.remove.at(0) == "x-q");
  REQUIRE(rule.backends.size() == 2);
  CHECK(rule.backends[0].service == "demo/b.demo.svc.cluster.local");
  CHECK(rule.backends[0].weight == 3);
  CHECK(rule.backends[0].request_headers.set.size() == 1);
  CHECK(rule.backends[1].service == "far/c.far.svc.cluster.local");
  CHECK(rule.backends[1].weight == 0);
}

TEST_CASE("a backend that is not there keeps its share and has no service") {
  for (const char* backend :
       {"{name: gone, port: 80, weight: 5}", "{name: b, port: 81, weight: 5}", "{name: b, weight: 5}",
        "{kind: Bucket, name: b, port: 80, weight: 5}",
        "{name: b, port: 80, weight: 5, filters: [{type: URLRewrite, urlRewrite: {}}]}"}) {
    INFO(backend);
    HttpRoutes routes = routes_of(route(fmt::format("{{backendRefs: [{}]}}", backend)));
    REQUIRE(routes.rules.at(0).backends.size() == 1);
    CHECK(routes.rules[0].backends[0].service.empty());
    CHECK(routes.rules[0].backends[0].weight == 5);
  }
}

TEST_CASE("a filter we cannot honour leaves its rule without backends, and says so") {
  for (const char* filter : {"RequestMirror", "ExtensionRef"}) {
    std::string text =
        kServices + route(fmt::format("{{filters: [{{type: {}, config: {{a: b}}}}], backendRefs: [{{name: "
                                      "b, port: 80}}]}}",
                                      filter));
    CHECK(snapshot_of(text)->routes("demo/a.demo.svc.cluster.local", 80)->rules.at(0).backends.empty());
    CHECK_THAT(warnings_of(text), Catch::Contains(std::string("filter ") + filter + " is not supported yet"));
  }
}

TEST_CASE("a parent chooses the ports it speaks for") {
  const std::string one = "{backendRefs: [{name: b, port: 80}]}";
  CHECK(routes_of(route(one), 81).routed);
  CHECK_FALSE(routes_of(route(one, "{group: '', kind: Service, name: a, port: 80}"), 81).routed);
  CHECK(routes_of(route(one, "{group: '', kind: Service, name: a, sectionName: other}"), 81).routed);
  CHECK_FALSE(routes_of(route(one, "{group: '', kind: Service, name: a, sectionName: other}"), 80).routed);
  CHECK_FALSE(routes_of(route(one, "{name: a}"), 80).routed);  // a Gateway
}

TEST_CASE("a route counts in the namespace of the service or of its waypoint only") {
  std::string foreign =
      route("{}", "{group: '', kind: Service, name: a, namespace: demo}", "name: r, namespace: far");
  CHECK_FALSE(routes_of(foreign).routed);
  CHECK_THAT(warnings_of(kServices + foreign), Catch::Contains("has no effect on demo/a"));
}

TEST_CASE("of two timeouts the shorter one bounds a request") {
  struct Case {
    const char* timeouts;
    std::optional<uint64_t> ms;
  };
  const Case cases[] = {
      {"{}", {}},
      {"{request: 10s}", 10'000},
      {"{request: 1m30s}", 90'000},
      {"{request: 0s}", 0},
      {"{backendRequest: 500ms}", 500},
      {"{request: 10s, backendRequest: 2s}", 2'000},
      {"{request: 0s, backendRequest: 2s}", 2'000},
      {"{request: 10s, backendRequest: 0s}", 10'000},
  };
  for (const Case& c : cases) {
    INFO(c.timeouts);
    HttpRoutes routes = routes_of(route(fmt::format("{{timeouts: {}}}", c.timeouts)));
    REQUIRE(routes.rules.size() == 1);
    CHECK(routes.rules[0].timeout_ms == c.ms);
  }
}

TEST_CASE("a redirect without a port goes to its scheme's, or to the one that was called") {
  struct Case {
    const char* redirect;
    Redirect::Port from;
    int status;
  };
  using Port = Redirect::Port;
  const Case cases[] = {
      {"{hostname: x.example}", Port::of_request, 302},
      {"{scheme: https, statusCode: 301}", Port::of_scheme, 301},
      {"{scheme: https, port: 8443, statusCode: 308}", Port::given, 308},
  };
  for (const Case& c : cases) {
    INFO(c.redirect);
    HttpRoutes routes = routes_of(
        route(fmt::format("{{filters: [{{type: RequestRedirect, requestRedirect: {}}}]}}", c.redirect)));
    REQUIRE(routes.rules.at(0).redirect);
    CHECK(routes.rules[0].redirect->port_from == c.from);
    CHECK(routes.rules[0].redirect->status == c.status);
  }
}

TEST_CASE("a rewrite arrives as written") {
  HttpRoutes routes = routes_of(route(
      "{matches: [{path: {value: /a}}], filters: [{type: URLRewrite, urlRewrite: {hostname: in.example, "
      "path: {type: ReplacePrefixMatch, replacePrefixMatch: /b}}}], backendRefs: [{name: b, port: 80}]}"));
  const Rewrite& rewrite = routes.rules.at(0).rewrite;
  CHECK(rewrite.authority == "in.example");
  CHECK(rewrite.path == PathChange{PathChange::Kind::prefix, "/b", {}});
  CHECK(routes.rules[0].backends.size() == 1);
}

TEST_CASE("a star in a CORS origin stands for any text, and an answer is kept for five seconds") {
  HttpRoutes routes = routes_of(
      route("{filters: [{type: CORS, cors: {allowOrigins: ['https://*.example.com', 'http://one'], "
            "allowMethods: [GET, '*'], allowHeaders: [X-A], exposeHeaders: [X-B], allowCredentials: true}}], "
            "backendRefs: [{name: b, port: 80}]}"));
  const std::optional<Cors>& cors = routes.rules.at(0).cors;
  REQUIRE(cors);
  REQUIRE(cors->allow_origins.size() == 2);
  CHECK(cors->allow_origins[0].regex->full_match("https://a.b.example.com"));
  CHECK_FALSE(cors->allow_origins[0].regex->full_match("https://a.b.exampleXcom"));
  CHECK(cors->allow_origins[1].value == "http://one");
  CHECK(cors->allow_methods == std::vector<std::string>{"GET", "*"});
  CHECK(cors->max_age_s == 5);
  CHECK(cors->allow_credentials);
  CHECK_FALSE(cors->forward_unmatched_preflights);
}

TEST_CASE("a rule's retries add codes to the defaults, and a backend's timeout is then each attempt's") {
  HttpRoutes routes = routes_of(route(
      "{retry: {codes: [500, 503], attempts: 4, backoff: 100ms}, timeouts: {request: 10s, backendRequest: "
      "2s}, backendRefs: [{name: b, port: 80}]}"));
  const RouteRule& rule = routes.rules.at(0);
  CHECK(rule.timeout_ms == 10'000);
  CHECK(rule.retry.per_try_ms == 2'000);
  CHECK(rule.retry.statuses == std::vector<uint16_t>{500, 503});
  CHECK(rule.retry.retries == 4);
  CHECK(rule.retry.base_ms == 100);
  CHECK(rule.retry.max_ms == 1'000);
  CHECK(rule.retry.on == RetryPolicy{}.on);
}

TEST_CASE("what is wrong in a route is an error with its path") {
  struct Case {
    const char* rule;
    const char* error;
  };
  const Case cases[] = {
      {"{matches: [{path: {type: Prefix, value: /}}]}",
       "spec.rules[0].matches[0].path.type: must be one of Exact, PathPrefix, RegularExpression, not "
       "\"Prefix\""},
      {"{matches: [{path: {value: a}}]}",
       "spec.rules[0].matches[0].path.value: must begin with /, not \"a\""},
      {"{matches: [{path: {type: RegularExpression, value: '('}}]}",
       "spec.rules[0].matches[0].path.value: is not a regular expression of RE2, or too large: \"(\""},
      {"{matches: [{headers: [{name: 'a b', value: x}]}]}",
       "spec.rules[0].matches[0].headers[0].name: must be a header name, not \"a b\""},
      {"{matches: [{headers: [{value: x}]}]}", "spec.rules[0].matches[0].headers[0].name: is required"},
      {"{matches: {}}", "spec.rules[0].matches: must be a list"},
      {"{backendRef: []}", "spec.rules[0].backendRef: unknown field"},
      {"{backendRefs: [{name: b, port: 80, weight: -1}]}",
       "spec.rules[0].backendRefs[0].weight: must be a number from 0 to 1000000"},
      {"{backendRefs: [{name: b, port: 80000}]}",
       "spec.rules[0].backendRefs[0].port: must be a number from 1 to 65535"},
      {"{filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: a, value: "
       "\"b\\nc\"}]}}]}",
       "spec.rules[0].filters[0].requestHeaderModifier.set[0].value: holds a control character"},
      {"{timeouts: {request: soon}}",
       "spec.rules[0].timeouts.request: must be a duration like 10s or 500ms, not \"soon\""},
      {"{filters: [{type: RequestRedirect}]}", "spec.rules[0].filters[0].requestRedirect: is required"},
      {"{filters: [{type: RequestRedirect, requestRedirect: {statusCode: 200}}]}",
       "spec.rules[0].filters[0].requestRedirect.statusCode: must be one of 301, 302, 303, 307, 308, not "
       "\"200\""},
      {"{filters: [{type: RequestRedirect, requestRedirect: {path: {type: ReplaceFullPath, replaceFullPath: "
       "'x y'}}}]}",
       "spec.rules[0].filters[0].requestRedirect.path.replaceFullPath: must be a path that begins with /, "
       "not "
       "\"x y\""},
      {"{filters: [{type: RequestRedirect, requestRedirect: {hostname: \"a\\r\\nb\"}}]}",
       "spec.rules[0].filters[0].requestRedirect.hostname: must be a host name, not \"a\\x0d\\nb\""},
      {"{filters: [{type: RequestRedirect, requestRedirect: {hostname: x}}], backendRefs: [{name: b, port: "
       "80}]}",
       "spec.rules[0].backendRefs: must be empty beside a RequestRedirect: nothing is forwarded"},
      {"{filters: [{type: RequestRedirect, requestRedirect: {hostname: x}}, {type: URLRewrite, urlRewrite: "
       "{hostname: y}}]}",
       "spec.rules[0].filters: cannot hold both RequestRedirect and URLRewrite"},
      {"{filters: [{type: CORS, cors: {}}, {type: CORS, cors: {}}]}",
       "spec.rules[0].filters[1]: is the second CORS of its rule: one is all it can have"},
      {"{filters: [{type: URLRewrite, urlRewrite: {}}, {type: URLRewrite, urlRewrite: {hostname: x}}]}",
       "spec.rules[0].filters[1]: is the second URLRewrite of its rule: one is all it can have"},
      {"{filters: [{type: CORS, cors: {allowMethods: ['a b']}}]}",
       "spec.rules[0].filters[0].cors.allowMethods: must hold methods or header names, or *"},
      {"{matches: [{path: {type: Exact, value: /a}}], filters: [{type: URLRewrite, urlRewrite: {path: {type: "
       "ReplacePrefixMatch, replacePrefixMatch: /b}}}]}",
       "spec.rules[0].filters: replaces a prefix, so every match of the rule must be a PathPrefix"},
      {"{retry: {codes: [200]}}", "spec.rules[0].retry.codes[0]: must be a number from 400 to 599"},
      {"{timeouts: {request: 1s, backendRequest: 2s}}",
       "spec.rules[0].timeouts.backendRequest: must not be longer than request"},
  };
  for (const Case& c : cases) {
    INFO(c.rule);
    CHECK(errors_of(kServices + route(c.rule)) == fmt::format("x.yaml:15: HTTPRoute demo/r: {}", c.error));
  }
}

}  // namespace ambientd::config
