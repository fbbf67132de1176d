// SPDX-License-Identifier: Apache-2.0
#include "policy/path_template.h"

#include <string>

#include "test/support/catch.h"

using namespace ambientd::policy;

TEST_CASE("{*} is one segment and {**} is any text at its place") {
  struct Case {
    const char *pattern, *path;
    bool want;
  };
  const Case cases[] = {
      {"/foo/{*}", "/foo/bar", true},
      {"/foo/{*}", "/foo/bar/baz", false},
      {"/foo/{*}", "/foo/", false},
      {"/foo/{*}", "/foo", false},
      {"/foo/{*}", "/fob/bar", false},
      {"/foo/{*}/", "/foo/bar/", true},
      {"/foo/{*}/", "/foo/bar", false},
      {"/{*}/{*}", "/a/b", true},
      {"/{*}/{*}", "/a/", false},
      {"/foo/{**}", "/foo/", true},
      {"/foo/{**}", "/foo/a/b/c", true},
      {"/foo/{**}", "/foo", false},
      {"/foo/{**}/", "/foo/bar/", true},
      {"/foo/{**}/", "/foo/bar/baz.txt/", true},
      {"/foo/{**}/", "/foo//", true},
      {"/foo/{**}/", "/foo/bar", false},
      {"/foo/{*}/bar/{**}", "/foo/buzz/bar/", true},
      {"/foo/{*}/bar/{**}", "/foo/buzz/bar/baz", true},
      {"/foo/{*}/bar/{**}", "/foo/bar/baz", false},
      {"/{**}/end", "/x/y/end", true},
      {"/{**}/end", "/x/y/ends", false},
      {"/{**}/aa/aa", "/aa/aa", false},
      {"/{**}", "/", true},
      {"/plain", "/plain", true},
      {"/plain", "/plainer", false},
  };
  for (const Case& c : cases) {
    INFO(c.pattern << " on " << c.path);
    CHECK(template_matches(c.pattern, c.path) == c.want);
  }
}

TEST_CASE("templates that cannot be understood are not valid and match nothing") {
  for (const char* bad :
       {"", "foo/{*}", "/{**}/{*}", "/{**}/{**}", "/a{*}", "/{*}b", "/{name}", "/{", "/}", "/{*", "/{***}"}) {
    INFO(bad);
    CHECK_FALSE(is_valid_template(bad));
    CHECK_FALSE(template_matches(bad, bad));
  }
  for (const char* good : {"/", "/{*}", "/a/{*}/{*}/b/{**}/c", "/*"}) CHECK(is_valid_template(good));
  CHECK(is_path_template("/a/{*}"));
  CHECK_FALSE(is_path_template("/a/*"));
}

TEST_CASE("a template costs no more on a long path made to confuse it") {
  std::string path = "/";
  for (int i = 0; i < 20'000; i++) path += "a/";
  CHECK_FALSE(template_matches("/{*}/{*}/{*}/{**}/b", path));
  CHECK(template_matches("/{*}/{*}/{*}/{**}/a/", path));
}
