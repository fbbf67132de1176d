// SPDX-License-Identifier: Apache-2.0
#include "l7/path.h"

#include "test/support/catch.h"

using namespace ambientd::l7;
using namespace std::string_literals;

TEST_CASE("a path has one spelling") {
  struct Case {
    std::string given, expected;
  };
  const std::vector<Case> cases{
      {"/", "/"},
      {"/a/b", "/a/b"},
      // Dot segments, RFC 3986 §5.2.4.
      {"/a/b/c/./../../g", "/a/g"},
      {"/./a", "/a"},
      {"/a/.", "/a/"},
      {"/a/..", "/"},
      {"/a/b/..", "/a/"},
      {"/../../a", "/a"},
      {"/..", "/"},
      {"/a/...", "/a/..."},
      {"/.a/..b/c.", "/.a/..b/c."},
      // Dots in disguise.
      {"/a/%2e%2e/admin", "/admin"},
      {"/a/%2E./admin", "/admin"},
      {"/a/.%2e/admin", "/admin"},
      {"/%2e/admin", "/admin"},
      {"/a\\..\\admin", "/admin"},
      {"/a/%2e%2e\\admin", "/admin"},
      // Unreserved characters are decoded, others are not.
      {"/%61dmin", "/admin"},
      {"/%7Euser/%2D%5f%30", "/~user/-_0"},
      {"/a%2Fb%2fc", "/a%2Fb%2fc"},
      {"/a%5Cb", "/a%5Cb"},
      {"/a%20b%3f%23", "/a%20b%3f%23"},
      {"/a%0ab", "/a%0ab"},
      {"/..%2fadmin", "/..%2fadmin"},
      // Slashes are not merged; empty segments are segments.
      {"//admin", "//admin"},
      {"/a//b/", "/a//b/"},
      {"/a//../b", "/a/b"},
      {"/\\", "//"},
      // Parameters, queries, fragments.
      {"/admin;x=1/..;/b", "/admin;x=1/..;/b"},
      {"/a/../b?c=/../%61\\", "/b?c=/../%61\\"},
      {"/a?", "/a?"},
      {"/admin#fragment", "/admin"},
      {"/admin#/../b?c", "/admin"},
      {"/a?b#c", "/a?b"},
      // What a URI may not hold is escaped.
      {"/a\"<>^`{|}", "/a%22%3C%3E%5E%60%7B%7C%7D"},
      {"/caf\xc3\xa9", "/caf%C3%A9"},
      {"/caf%c3%a9", "/caf%c3%a9"},
      // A bare percent says nothing.
      {"/100%", "/100%"},
      {"/100%/b", "/100%/b"},
      {"/%zz", "/%zz"},
      {"/a!$&'()*+,:=@[]", "/a!$&'()*+,:=@[]"},
      {"*", "*"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.given);
    CHECK(normalize_path(c.given).value_or("(refused)") == c.expected);
    CHECK(normalize_path(c.expected) == c.expected);
  }
}

TEST_CASE("paths that only an attack spells are refused") {
  for (const std::string& path : std::vector<std::string>{"",
                                                          "a",
                                                          "?a",
                                                          "#a",
                                                          "http://a/b",
                                                          "**",
                                                          "\\a",
                                                          "/a\0b"s,
                                                          "/a%00b",
                                                          "/a b",
                                                          "/a\tb",
                                                          "/a\r\nb",
                                                          "/a\x7f",
                                                          "/a?b c",
                                                          "/a?b\0"s,
                                                          "/%c0%ae%c0%ae/admin",
                                                          "/\xc0\xaf",
                                                          "/%c1%9c",
                                                          "/%e0%80%af",
                                                          "/%e0\x80\xaf",
                                                          "/%f0%80%80%af",
                                                          "/%2%65",
                                                          "/%%32e",
                                                          "/%%2de",
                                                          "/%%65"}) {
    CAPTURE(path);
    CHECK(!normalize_path(path));
  }
}

TEST_CASE("a target in absolute form is taken apart") {
  struct Case {
    std::string target, scheme, authority, path;
  };
  for (const Case& c : std::vector<Case>{{"/a?b", "", "", "/a?b"},
                                         {"*", "", "", "*"},
                                         {"http://h:80/a?b", "http", "h:80", "/a?b"},
                                         {"HTTPS://H", "https", "H", "/"},
                                         {"http://h?a", "http", "h", "/?a"},
                                         {"http://[::1]:80/", "http", "[::1]:80", "/"}}) {
    CAPTURE(c.target);
    std::optional<RequestTarget> target = split_target(c.target);
    REQUIRE(target);
    CHECK(target->scheme == c.scheme);
    CHECK(target->authority == c.authority);
    CHECK(target->path == c.path);
  }
  for (std::string_view target : {"", "h:80", "http:///a", "ftp://h/", "http://user@h/", "a/b", "http://"})
    CHECK(!split_target(target));
}
