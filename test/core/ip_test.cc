// SPDX-License-Identifier: Apache-2.0
#include "core/ip.h"

#include "core/spiffe.h"
#include "test/support/catch.h"

using namespace ambientd;

TEST_CASE("an IPv4-mapped IPv6 address is the IPv4 address") {
  CHECK(Ip::parse("::ffff:10.0.0.1") == Ip::v4(10, 0, 0, 1));
  CHECK(Ip::parse("::ffff:10.0.0.1")->str() == "10.0.0.1");
}

TEST_CASE("socket addresses print and parse as the field writes them") {
  for (const char* text : {"10.0.0.1:80", "[::1]:15008", "[fd00::7]:1"}) {
    REQUIRE(SockAddr::parse(text));
    CHECK(SockAddr::parse(text)->str() == text);
  }
  for (const char* text : {"", ":80", "10.0.0.1", "10.0.0.1:", "10.0.0.1:65536", "10.0.0.1:-1", "::1:80",
                           "[::1]", "[10.0.0.1]:80", "host:80", "10.0.0.1:80 ", "[::1]80"}) {
    INFO(text);
    CHECK_FALSE(SockAddr::parse(text));
  }
}

TEST_CASE("a host and port is a name, an IPv4 address or an IPv6 address in brackets") {
  struct Case {
    const char* text;
    const char* host;
  };
  for (const Case& c : {Case{"a.b:80", "a.b"}, {"10.0.0.1:80", "10.0.0.1"}, {"[::1]:80", "::1"}}) {
    REQUIRE(parse_host_port(c.text));
    CHECK(parse_host_port(c.text)->host == c.host);
    CHECK(parse_host_port(c.text)->port == 80);
  }
  for (const char* text : {"[a.b]:80", "[10.0.0.1]:80", "[]:80", "[::1:80", "::1]:80", "[fe80::1%eth0]:80",
                           ":80", "a:", "a:b:80", "a:70000", "a:+80", "a: 80"}) {
    INFO(text);
    CHECK_FALSE(parse_host_port(text));
  }
}

TEST_CASE("a prefix matches masked and prints as written") {
  Cidr cidr = *Cidr::parse("10.77.99.5/20");
  CHECK(cidr.str() == "10.77.99.5/20");
  CHECK(cidr.contains(*Ip::parse("10.77.96.1")));
  CHECK_FALSE(cidr.contains(*Ip::parse("10.77.112.1")));
  CHECK_FALSE(cidr.contains(*Ip::parse("::1")));
  CHECK(Cidr::parse("0.0.0.0/0")->contains(*Ip::parse("1.2.3.4")));
  CHECK_FALSE(Cidr::parse("10.0.0.0/33"));
}

TEST_CASE("only spiffe://td/ns/x/sa/y is an identity") {
  CHECK(Identity::parse("spiffe://cluster.local/ns/a/sa/b") == Identity{"cluster.local", "a", "b"});
  for (std::string bad :
       {"spiffe://cluster.local/ns/a/sa/", "spiffe:///ns/a/sa/b", "http://td/ns/a/sa/b",
        "spiffe://td/ns/a/sa/b/c", "spiffe://td/ns/a/b/sa/c", "spiffe://td/ns/a%2f/sa/b", ""}) {
    INFO(bad);
    CHECK_FALSE(Identity::parse(bad));
  }
  CHECK_FALSE(Identity::parse(std::string_view("spiffe://td/ns/a/sa/b\0.evil", 27)));
}
