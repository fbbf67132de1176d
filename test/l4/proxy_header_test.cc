// SPDX-License-Identifier: Apache-2.0
#include "l4/proxy_header.h"

#include "core/text.h"
#include "test/support/catch.h"

using namespace ambientd;
using namespace ambientd::l4;

namespace {

const std::string kStart = "0d0a0d0a000d0a515549540a21";

std::string header(const char* source, const char* target, std::string_view identity = "",
                   std::string_view hostname = "") {
  return hex(proxy_header(*SockAddr::parse(source), *SockAddr::parse(target), identity, hostname));
}

}  // namespace

TEST_CASE("a PROXY header tells both ends, in their family") {
  CHECK(header("10.0.0.1:1000", "10.0.0.2:80") == kStart + "11000c" + "0a0000010a000002" + "03e80050");
  CHECK(header("[fd00::1]:1000", "[fd00::2]:80") == kStart + "210024" + "fd000000000000000000000000000001" +
                                                        "fd000000000000000000000000000002" + "03e80050");
}

TEST_CASE("ends of two families are both told as IPv6") {
  CHECK(header("10.0.0.1:1000", "[fd00::2]:80") == kStart + "210024" + "00000000000000000000ffff0a000001" +
                                                       "fd000000000000000000000000000002" + "03e80050");
  CHECK(header("[fd00::1]:1000", "10.0.0.2:80") == kStart + "210024" + "fd000000000000000000000000000001" +
                                                       "00000000000000000000ffff0a000002" + "03e80050");
}

TEST_CASE("a PROXY header carries the caller's identity and the service that was meant") {
  CHECK(header("10.0.0.1:1000", "10.0.0.2:80", "spiffe://a", "h.b") ==
        kStart + "11001f" + "0a0000010a000002" + "03e80050" + "d0000a" + hex("spiffe://a") + "d10003" +
            hex("h.b"));
  CHECK(header("10.0.0.1:1000", "10.0.0.2:80", "", "h.b") ==
        kStart + "110012" + "0a0000010a000002" + "03e80050" + "d10003" + hex("h.b"));
}

TEST_CASE("what is too long for a header is left out of it") {
  CHECK(header("10.0.0.1:1000", "10.0.0.2:80", std::string(70'000, 'x')) ==
        header("10.0.0.1:1000", "10.0.0.2:80"));
}
