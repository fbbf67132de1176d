// SPDX-License-Identifier: Apache-2.0
#include "core/url.h"

#include "test/support/catch.h"

using namespace ambientd;

TEST_CASE("a URL is taken apart") {
  struct Case {
    const char *text, *host;
    uint16_t port;
    const char *path, *authority;
  };
  const Case cases[] = {
      {"http://idp", "idp", 80, "/", "idp"},
      {"https://IdP.example/keys?a=b", "idp.example", 443, "/keys?a=b", "idp.example"},
      {"http://idp:8080/.well-known/jwks.json", "idp", 8080, "/.well-known/jwks.json", "idp:8080"},
      {"https://idp:443/", "idp", 443, "/", "idp"},
      {"HTTP://10.0.0.7:81", "10.0.0.7", 81, "/", "10.0.0.7:81"},
      {"http://[fd00::1]:81/x", "fd00::1", 81, "/x", "[fd00::1]:81"},
      {"http://idp?x", "idp", 80, "/?x", "idp"},
  };
  for (const Case& c : cases) {
    INFO(c.text);
    std::optional<Url> url = Url::parse(c.text);
    REQUIRE(url);
    CHECK(url->host == c.host);
    CHECK(url->port == c.port);
    CHECK(url->path == c.path);
    CHECK(url->authority() == c.authority);
    CHECK(url->tls == (url->str().starts_with("https")));
  }
}

TEST_CASE("a URL that could be read in two ways is refused") {
  for (const char* text : {"",
                           "idp",
                           "ftp://idp/",
                           "file:///etc/passwd",
                           "http://",
                           "http:///x",
                           "http://user@idp/",
                           "http://a:b@idp/",
                           "http://idp:0/",
                           "http://idp:65536/",
                           "http://idp:/",
                           "http://idp:8o/",
                           "http://idp/#x",
                           "http://i dp/",
                           "http://idp/a b",
                           "http://idp/\r\nhost: x",
                           "http://idp\\@evil/",
                           "http://[fd00::1/",
                           "http://[idp]/",
                           "http://idp%2f/",
                           "http://::1/"}) {
    INFO(text);
    CHECK_FALSE(Url::parse(text));
  }
}
