// SPDX-License-Identifier: Apache-2.0
#include "l7/rewrite.h"

#include "l7/redirect.h"
#include "test/support/catch.h"

using namespace ambientd;
using namespace ambientd::l7;
using config::PathChange;
using config::PathMatch;
using config::Redirect;
using Port = config::Redirect::Port;

namespace {

PathMatch match(PathMatch::Kind kind, std::string value) {
  return {.kind = kind, .value = std::move(value), .regex = {}};
}

Request asked(std::string authority, std::string path) {
  Request out;
  out.authority = std::move(authority);
  out.path = std::move(path);
  return out;
}

}  // namespace

TEST_CASE("a replaced prefix ends where an element ends, and the query stays") {
  struct Case {
    const char *prefix, *by, *path, *becomes;
  };
  const Case cases[] = {
      {"/foo", "/xyz", "/foo/bar", "/xyz/bar"},
      {"/foo", "/xyz/", "/foo/bar", "/xyz/bar"},
      {"/foo/", "/xyz", "/foo/bar", "/xyz/bar"},
      {"/foo", "/xyz", "/foo", "/xyz"},
      {"/foo", "/xyz", "/foo/", "/xyz/"},
      {"/foo", "", "/foo/bar", "/bar"},
      {"/foo", "", "/foo", "/"},
      {"/foo", "/", "/foo", "/"},
      {"/foo", "/", "/foo/bar?a=/foo", "/bar?a=/foo"},
      {"/", "/x", "/a", "/x/a"},
  };
  for (const Case& c : cases) {
    INFO(c.prefix << " by " << c.by << " in " << c.path);
    PathChange change{PathChange::Kind::prefix, c.by, {}};
    CHECK(changed(change, match(PathMatch::Kind::prefix, c.prefix), c.path) == c.becomes);
  }
}

TEST_CASE("a VirtualService's prefix is text, and where no prefix matched the whole path is replaced") {
  PathChange change{PathChange::Kind::prefix, "/v2/", {}};
  CHECK(changed(change, match(PathMatch::Kind::raw_prefix, "/v1"), "/v1x?q") == "/v2/x?q");
  CHECK(changed(change, match(PathMatch::Kind::exact, "/v1"), "/v1?q") == "/v2/?q");
  PathChange whole{PathChange::Kind::whole, "/new?own=1", {}};
  CHECK(changed(whole, match(PathMatch::Kind::prefix, "/"), "/a?q") == "/new?own=1");
}

TEST_CASE("an expression replaces what it finds in the path, not in the query") {
  PathChange change{PathChange::Kind::regex, "/\\2/\\1", config::Regex::compile("/(a+)/(b+)")};
  REQUIRE(change.regex->accepts(change.text));
  CHECK_FALSE(change.regex->accepts("\\3"));
  CHECK(changed(change, {}, "/aa/b/c?/aa/b") == "/b/aa/c?/aa/b");
}

TEST_CASE("a rewritten request says where it came from") {
  config::RouteRule rule;
  rule.match.path = match(PathMatch::Kind::prefix, "/a");
  rule.rewrite = {.authority = "in.example", .path = PathChange{PathChange::Kind::prefix, "/b", {}}};
  Request request = asked("out.example", "/a/x?y");
  rewrite(rule, request);
  CHECK(request.path == "/b/x?y");
  CHECK(request.authority == "in.example");
  CHECK(http1::find(request.fields, "x-envoy-original-path") == "/a/x?y");
}

TEST_CASE("a Location is absolute and spells no port that goes without saying") {
  struct Case {
    const char* authority;
    Redirect redirect;
    const char* location;
  };
  auto with = [](std::string scheme, std::string host, Port from = Port::keep, uint16_t port = 0) {
    Redirect out;
    out.scheme = std::move(scheme);
    out.authority = std::move(host);
    out.port_from = from;
    out.port = port;
    return out;
  };
  const Case cases[] = {
      {"a.example", with("", "b.example"), "http://b.example/p?q"},
      {"a.example:8080", with("", ""), "http://a.example:8080/p?q"},
      {"a.example:8080", with("", "b.example"), "http://b.example/p?q"},
      {"a.example:80", with("https", ""), "https://a.example/p?q"},
      {"a.example:8080", with("https", ""), "https://a.example:8080/p?q"},
      {"a.example:8080", with("https", "", Port::of_scheme), "https://a.example/p?q"},
      {"a.example", with("", "", Port::of_request), "http://a.example:9080/p?q"},
      {"a.example", with("https", "", Port::given, 443), "https://a.example/p?q"},
      {"a.example:1", with("https", "", Port::given, 8443), "https://a.example:8443/p?q"},
      {"[fd00::1]:80", with("https", ""), "https://[fd00::1]/p?q"},
      {"[fd00::1]", with("", "", Port::given, 81), "http://[fd00::1]:81/p?q"},
  };
  for (const Case& c : cases) CHECK(location(c.redirect, {}, asked(c.authority, "/p?q"), 9080) == c.location);
  Redirect moved = with("", "");
  moved.path = PathChange{PathChange::Kind::whole, "/new", {}};
  CHECK(location(moved, {}, asked("a", "/p?q"), 80) == "http://a/new?q");
}
