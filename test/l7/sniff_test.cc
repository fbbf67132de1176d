// SPDX-License-Identifier: Apache-2.0
#include "l7/sniff.h"

#include "test/support/catch.h"
#include "test/support/run.h"
#include "test/support/stream_pair.h"

using namespace ambientd;
using l7::sniff;
using l7::Sniffed;

TEST_CASE("the first bytes tell HTTP/1, HTTP/2 and anything else apart") {
  struct Case {
    std::string bytes;
    Sniffed is;
  };
  auto c = GENERATE(
      Case{"", Sniffed::more}, Case{"G", Sniffed::more}, Case{"GET /", Sniffed::more},
      Case{"GET / HTTP/1.1\r\n", Sniffed::http1}, Case{"\r\nGET / HTTP/1.1\r\n", Sniffed::http1},
      Case{"PROPFIND http://a/ HTTP/1.1\r\n", Sniffed::http1}, Case{"GET / HTTP/1.0\r\n", Sniffed::http1},
      Case{"GET key\r\n", Sniffed::other}, Case{"get / HTTP/1.1\r\n", Sniffed::other},
      Case{"GETX / HTTP/1.1\r\n", Sniffed::other}, Case{"P", Sniffed::more},
      Case{"PRI * HTTP/2.0\r\n\r\nSM\r\n", Sniffed::more},
      Case{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Sniffed::http2},
      Case{"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", Sniffed::other},
      Case{std::string("\x16\x03\x01", 3), Sniffed::other}, Case{std::string(1, '\0'), Sniffed::other},
      Case{"GET /" + std::string(9000, 'a'), Sniffed::http1});
  INFO(c.bytes.substr(0, 60));
  CHECK(sniff(c.bytes) == c.is);
}

namespace {

Task<void> detect_in_pieces() {
  test::StreamPair pair;
  l7::Peeked peeked(*pair.far);
  Task<Result<Sniffed>> detecting = peeked.detect();
  detecting.start();
  for (const char* piece : {"GE", "T / HT", "TP/1.1\r", "\nHost: a\r\n\r\n"}) {
    Status sent = co_await test::send_text(*pair.near, piece);
    CHECK(sent);
  }
  Result<Sniffed> found = co_await detecting;
  CHECK(found == Sniffed::http1);
  pair.near->finish();
  std::string got;
  co_await test::read_all(peeked, got);
  CHECK(got == "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
}

}  // namespace

TEST_CASE("what was looked at is still there to be read") {
  Loop loop;
  test::run(loop, detect_in_pieces());
}
