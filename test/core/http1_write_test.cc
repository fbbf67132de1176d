// SPDX-License-Identifier: Apache-2.0
#include "core/http1.h"
#include "test/support/catch.h"

using namespace ambientd;
using namespace ambientd::http1;

namespace {

Head get(Fields fields) { return {.method = "GET", .target = "/", .fields = std::move(fields)}; }

}  // namespace

TEST_CASE("a request head on the wire") {
  CHECK(*write_head(get({{"host", "a"}, {"x", "1"}, {"x", "2"}})) ==
        "GET / HTTP/1.1\r\nhost: a\r\nx: 1\r\nx: 2\r\n\r\n");
}

TEST_CASE("a response head on the wire") {
  Head head{
      .status = 404, .reason = "Not Found", .framing = Framing::length, .length = 3, .keep_alive = false};
  CHECK(*write_head(head) == "HTTP/1.1 404 Not Found\r\ncontent-length: 3\r\nconnection: close\r\n\r\n");
}

TEST_CASE("framing and connection are written from the head, never from forwarded fields") {
  Fields forwarded = {{"host", "a"},           {"Content-Length", "9"},     {"transfer-encoding", "gzip"},
                      {"connection", "close"}, {"keep-alive", "timeout=5"}, {"upgrade", "h2c"}};
  Head head = get(forwarded);
  head.framing = Framing::chunked;
  CHECK(*write_head(head) == "GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
  head.framing = Framing::length;
  head.length = 2;
  CHECK(*write_head(head) == "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n");
}

TEST_CASE("the answer to HEAD keeps its content-length") {
  Head head{.status = 200, .reason = "OK", .fields = {{"content-length", "9"}}};
  CHECK(*write_head(head) == "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n");
}

TEST_CASE("an upgrade and an HTTP/1.0 keep-alive are said out loud") {
  Head head = get({});
  head.upgrade = "websocket";
  CHECK(*write_head(head) == "GET / HTTP/1.1\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
  Head old{.status = 200, .reason = "OK", .version = 10};
  CHECK(*write_head(old) == "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\n\r\n");
}

TEST_CASE("nothing can break out of its place on the wire") {
  auto refused = [](Head head) {
    Result<std::string> out = write_head(head);
    return !out && out.error().code == Errc::invalid;
  };
  for (std::string evil :
       {std::string("a\r\nx: y"), std::string("a\nb"), std::string("a\rb"), std::string("a\0b", 3)}) {
    INFO(evil);
    CHECK(refused(get({{"x", evil}})));
    CHECK(refused(get({{evil, "x"}})));
    CHECK(refused({.method = evil, .target = "/"}));
    CHECK(refused({.method = "GET", .target = evil}));
    CHECK(refused({.status = 200, .reason = evil}));
    CHECK(refused({.method = "GET", .target = "/", .upgrade = evil}));
    CHECK_FALSE(last_chunk({{"x", evil}}));
  }
  CHECK(refused(get({{"", "x"}})));
  CHECK(refused(get({{"a b", "x"}})));
  CHECK(refused({.method = "GET", .target = "/a HTTP/1.1"}));
  CHECK(refused({.method = "GET", .target = ""}));
  CHECK(refused({.status = 42}));
}

TEST_CASE("chunks on the wire") {
  CHECK(chunk_header(255) == "ff\r\n");
  CHECK(*last_chunk() == "0\r\n\r\n");
  CHECK(*last_chunk({{"grpc-status", "0"}}) == "0\r\ngrpc-status: 0\r\n\r\n");
  CHECK_FALSE(last_chunk({{"Content-Length", "1"}}));
}

TEST_CASE("what was written is read back as it was") {
  Head head{.method = "PUT", .target = "/x", .fields = {{"host", "a"}}, .framing = Framing::chunked};
  std::string bytes =
      *write_head(head) + chunk_header(2) + "hi" + std::string(kChunkEnd) + *last_chunk({{"t", "v"}});
  std::string_view input = bytes;
  Parser parser(Role::request);
  Head back = std::get<Head>(*parser.next(input));
  CHECK(back.method == "PUT");
  CHECK(back.framing == Framing::chunked);
  CHECK(std::get<Body>(*parser.next(input)).bytes == "hi");
  CHECK(std::get<Trailers>(*parser.next(input)).fields == Fields{{"t", "v"}});
  CHECK(std::holds_alternative<End>(*parser.next(input)));
  CHECK(input.empty());
}

TEST_CASE("a date on the wire") {
  CHECK(http_date(784111777) == "Sun, 06 Nov 1994 08:49:37 GMT");
  CHECK(http_date(1767323045) == "Fri, 02 Jan 2026 03:04:05 GMT");
}
