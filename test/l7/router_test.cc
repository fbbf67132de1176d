// SPDX-License-Identifier: Apache-2.0
#include "l7/router.h"

#include <map>
#include <random>

#include "test/support/catch.h"

using namespace ambientd;
using namespace ambientd::l7;
using config::PathMatch;
using config::Regex;
using config::RouteRule;
using config::StringMatch;

namespace {

using Kind = PathMatch::Kind;

StringMatch text(std::string value) { return {.value = std::move(value), .regex = {}}; }

RouteRule rule(std::string name, Kind kind, std::string path) {
  RouteRule out;
  out.name = std::move(name);
  out.match.path = {kind, path, kind == Kind::regex ? Regex::compile(path) : std::nullopt};
  return out;
}

Request get(std::string path) {
  Request out;
  out.method = "GET";
  out.authority = "shop:80";
  out.path = std::move(path);
  return out;
}

std::string taken_by(const config::HttpRoutes& routes, const Request& request) {
  const RouteRule* found = find_rule(routes, request);
  return found ? found->name : "";
}

bool takes(const RouteRule& only, const Request& request) {
  config::HttpRoutes routes{.routed = true, .rules = {only}};
  return find_rule(routes, request) != nullptr;
}

}  // namespace

TEST_CASE("a claim is matched in the token that was believed, and without one nothing matches it") {
  RouteRule by_claim = rule("admins", Kind::prefix, "/");
  by_claim.match.claims = {{.claim = {"groups"}, .text = text("admin")}};
  config::HttpRoutes routes{.routed = true, .rules = {by_claim}};
  policy::VerifiedToken token(policy::Jwt{}, policy::JwtRule{});
  CHECK(find_rule(routes, get("/")) == nullptr);
  CHECK(find_rule(routes, get("/"), &token) == nullptr);
  token.claims = {{{"groups"}, "user"}, {{"groups"}, "admin"}};
  CHECK(find_rule(routes, get("/"), &token) != nullptr);
  CHECK(RouteTable(routes).find(get("/"), &token) != nullptr);
  CHECK(RouteTable(routes).find(get("/")) == nullptr);
  routes.rules[0].match.claims[0].inverted = true;
  CHECK(find_rule(routes, get("/")) != nullptr);
  CHECK(find_rule(routes, get("/"), &token) == nullptr);
}

TEST_CASE("a path is matched without its query, prefixes by element") {
  struct Case {
    Kind kind;
    std::string value, path;
    bool matches;
  };
  const std::vector<Case> cases{
      {Kind::exact, "/a", "/a", true},         {Kind::exact, "/a", "/a?b", true},
      {Kind::exact, "/a", "/a/", false},       {Kind::exact, "/a", "/A", false},
      {Kind::prefix, "/", "/any", true},       {Kind::prefix, "/", "*", true},
      {Kind::prefix, "/a", "/a", true},        {Kind::prefix, "/a", "/a/b", true},
      {Kind::prefix, "/a", "/a/", true},       {Kind::prefix, "/a", "/ab", false},
      {Kind::prefix, "/a/", "/a", true},       {Kind::prefix, "/a/", "/a/b", true},
      {Kind::prefix, "/a", "/a?b", true},      {Kind::prefix, "/a/b", "/a", false},
      {Kind::regex, "/[0-9]+", "/12", true},   {Kind::regex, "/[0-9]+", "/12/", false},
      {Kind::regex, "/[0-9]+", "/12?a", true}, {Kind::regex, "[0-9]+", "/12", false},
      {Kind::prefix, "/a/b", "/a//b", false},
  };
  for (const Case& c : cases) {
    CAPTURE(c.value, c.path);
    CHECK(takes(rule("r", c.kind, c.value), get(c.path)) == c.matches);
  }
}

TEST_CASE("method, fields and parameters must all match") {
  RouteRule wanted = rule("r", Kind::prefix, "/");
  wanted.match.method = text("POST");
  wanted.match.headers = {{"x-user", text("ann")},
                          {"x-n", {.kind = StringMatch::Kind::regex, .regex = Regex::compile("[0-9]+")}}};
  wanted.match.query = {{"v", text("2")}};
  Request request = get("/a?v=2&w=3");
  request.method = "POST";
  request.fields = {{"x-user", "ann"}, {"x-n", "17"}};
  CHECK(takes(wanted, request));

  Request other = request;
  other.method = "GET";
  CHECK(!takes(wanted, other));
  other = request;
  other.fields = {{"x-user", "ann"}};
  CHECK(!takes(wanted, other));
  other = request;
  set_field(other.fields, "x-n", "17b");
  CHECK(!takes(wanted, other));
  other = request;
  other.path = "/a?w=3";
  CHECK(!takes(wanted, other));
}

TEST_CASE("a field in several lines is matched as one value") {
  RouteRule joined = rule("r", Kind::prefix, "/"), first = joined;
  joined.match.headers = {{"x-user", text("ann,bob")}};
  first.match.headers = {{"x-user", text("ann")}};
  Request request = get("/");
  request.fields = {{"x-user", "ann"}, {"x-other", "1"}, {"x-user", "bob"}};
  CHECK(takes(joined, request));
  CHECK(!takes(first, request));
}

TEST_CASE("pseudo names mean the request line and the host") {
  for (const auto& [name, value] : std::map<std::string, std::string>{{":authority", "shop:80"},
                                                                      {"host", "shop:80"},
                                                                      {":method", "GET"},
                                                                      {":scheme", "http"},
                                                                      {":path", "/a?b"}}) {
    CAPTURE(name);
    RouteRule wanted = rule("r", Kind::prefix, "/");
    wanted.match.headers = {{name, text(value)}};
    CHECK(takes(wanted, get("/a?b")));
    wanted.match.headers[0].text.value += "x";
    CHECK(!takes(wanted, get("/a?b")));
  }
}

TEST_CASE("parameters are decoded and the first of a name counts") {
  struct Case {
    std::string query, name, value;
    bool matches;
  };
  for (const Case& c : std::vector<Case>{{"a=1&a=2", "a", "1", true},
                                         {"a=1&a=2", "a", "2", false},
                                         {"%61=x%20y", "a", "x y", true},
                                         {"a=x+y", "a", "x+y", true},
                                         {"a", "a", "", true},
                                         {"a=", "a", "", true},
                                         {"a=b=c", "a", "b=c", true},
                                         {"a=%zz%4", "a", "%zz%4", true},
                                         {"", "a", "", false},
                                         {"b&&a=1", "a", "1", true}}) {
    CAPTURE(c.query);
    RouteRule wanted = rule("r", Kind::prefix, "/");
    wanted.match.query = {{c.name, text(c.value)}};
    CHECK(takes(wanted, get("/?" + c.query)) == c.matches);
  }
}

TEST_CASE("the first rule in order of precedence wins") {
  config::HttpRoutes routes{.routed = true,
                            .rules = {rule("exact", Kind::exact, "/a/b"), rule("long", Kind::prefix, "/a/b"),
                                      rule("short", Kind::prefix, "/a"), rule("regex", Kind::regex, "/.*x")}};
  CHECK(taken_by(routes, get("/a/b")) == "exact");
  CHECK(taken_by(routes, get("/a/b/c")) == "long");
  CHECK(taken_by(routes, get("/a/x")) == "short");
  CHECK(taken_by(routes, get("/b/x")) == "regex");
  CHECK(taken_by(routes, get("/b")) == "");
}

TEST_CASE("the index answers like the walk, on any table") {
  std::mt19937 random(20240607);
  auto below = [&](size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random); };
  auto any_path = [&] {
    std::string out;
    for (size_t i = below(4); i > 0; --i)
      out.append("/").append(below(5) == 0 ? "" : std::string(1 + below(2), "ab"[below(2)]));
    return out.empty() || below(4) == 0 ? out + "/" : out;
  };
  const std::vector<std::string> regexes{"/.*", "/a.*", ".*b", "/[ab]+/a", "/(a|b)?"};
  size_t found = 0;
  for (int table = 0; table < 300; ++table) {
    config::HttpRoutes routes{.routed = true, .rules = {}};
    for (size_t i = below(40); i > 0; --i) {
      auto kind = static_cast<Kind>(below(3));
      RouteRule made = rule("r", kind, kind == Kind::regex ? regexes[below(regexes.size())] : any_path());
      if (below(3) == 0) made.match.method = text(below(2) ? "GET" : "POST");
      if (below(4) == 0) made.match.headers = {{"x-a", text(below(2) ? "1" : "2")}};
      if (below(4) == 0) made.match.query = {{"q", text(below(2) ? "1" : "2")}};
      routes.rules.push_back(std::move(made));
    }
    RouteTable index(routes);
    for (int i = 0; i < 100; ++i) {
      Request request = get(any_path() + (below(3) ? "" : "?q=1"));
      if (below(2)) request.method = "POST";
      if (below(2)) request.fields = {{"x-a", below(2) ? "1" : "2"}};
      const RouteRule* walked = find_rule(index.routes(), request);
      found += walked != nullptr;
      REQUIRE(index.find(request) == walked);
    }
  }
  CHECK(found > 10'000);
}

TEST_CASE("5,000 routes cost a request no walk") {
  config::HttpRoutes routes{.routed = true, .rules = {}};
  for (int i = 0; i < 5000; ++i)
    routes.rules.push_back(rule(std::to_string(i), Kind::prefix, "/tenant-" + std::to_string(i) + "/api"));
  RouteTable index(routes);
  const RouteRule* found = index.find(get("/tenant-4321/api/v1/items?page=2"));
  REQUIRE(found != nullptr);
  CHECK(found->name == "4321");
  Request deep = get(std::string(60'000, '/'));
  CHECK(index.find(deep) == nullptr);
}

TEST_CASE("backends take their weight, invalid ones too") {
  RouteRule split = rule("r", Kind::prefix, "/");
  split.backends = {
      {.service = "ns/a", .port = 80, .weight = 3, .request_headers = {}, .response_headers = {}},
      {.service = "ns/off", .port = 80, .weight = 0, .request_headers = {}, .response_headers = {}},
      {.service = "", .port = 80, .weight = 1, .request_headers = {}, .response_headers = {}}};
  std::map<std::string, int> taken;
  for (uint64_t random = 0; random < 400; ++random) {
    const config::Backend* backend = pick_backend(split, random);
    ++taken[backend ? backend->service : "500"];
  }
  CHECK(taken == std::map<std::string, int>{{"500", 100}, {"ns/a", 300}});
  split.backends.clear();
  CHECK(pick_backend(split, 7) == nullptr);
  split.backends = {
      {.service = "ns/a", .port = 80, .weight = 0, .request_headers = {}, .response_headers = {}}};
  CHECK(pick_backend(split, 7) == nullptr);
}

TEST_CASE("tables follow a snapshot and keep what did not change") {
  config::Mesh mesh;
  for (std::string_view name : {"one", "two", "plain"}) {
    config::Service service;
    service.ns = "shop";
    service.name = name;
    service.hostname = std::string(name) + ".shop.svc.cluster.local";
    service.ports[80] = {};
    mesh.services.push_back(service);
  }
  mesh.routes["shop/one.shop.svc.cluster.local"][80] = {.routed = true,
                                                        .rules = {rule("a", Kind::exact, "/a")}};
  mesh.routes["shop/two.shop.svc.cluster.local"][80] = {.routed = true,
                                                        .rules = {rule("b", Kind::regex, "/b.*")}};
  RouteTables first(*config::Snapshot::build(mesh));
  CHECK(first.find("shop/plain.shop.svc.cluster.local", 80) == nullptr);
  CHECK(first.find("shop/one.shop.svc.cluster.local", 81) == nullptr);
  RouteTablePtr one = first.find("shop/one.shop.svc.cluster.local", 80);
  REQUIRE(one != nullptr);
  CHECK(one->routed());

  mesh.routes["shop/one.shop.svc.cluster.local"][80].rules[0].match.path.value = "/c";
  RouteTables second(*config::Snapshot::build(mesh), &first);
  CHECK(second.find("shop/one.shop.svc.cluster.local", 80) != one);
  CHECK(second.find("shop/two.shop.svc.cluster.local", 80) ==
        first.find("shop/two.shop.svc.cluster.local", 80));
  CHECK(one->find(get("/a")) != nullptr);  // a request that still runs on the former table
}
