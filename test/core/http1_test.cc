// SPDX-License-Identifier: Apache-2.0
#include "core/http1.h"

#include <fmt/format.h>

#include "test/support/catch.h"
#include "test/support/http1_transcript.h"

using namespace ambientd;
using namespace ambientd::http1;
using ambientd::test::transcript;

namespace {

const std::string kHost = "host: a\r\n";

std::string request(std::string_view fields, std::string_view body = "") {
  return fmt::format("POST /p HTTP/1.1\r\n{}{}\r\n{}", kHost, fields, body);
}

std::string response(std::string_view fields, std::string_view body = "") {
  return fmt::format("HTTP/1.1 200 OK\r\n{}\r\n{}", fields, body);
}

std::string read(Role role, std::string_view bytes, size_t piece = SIZE_MAX) {
  Parser parser(role);
  return transcript(parser, bytes, piece);
}

// The status a request is refused with, or 0 when it is accepted whole.
int refusal(Role role, const std::string& bytes) {
  Parser parser(role);
  bool refused = transcript(parser, bytes, SIZE_MAX).find("error ") != std::string::npos;
  return refused ? parser.status() : 0;
}

Head head_of(Role role, std::string_view bytes, std::string_view method = "GET", bool upgrade = false) {
  Parser parser(role);
  parser.expect(method, upgrade);
  Result<Event> event = parser.next(bytes);
  REQUIRE(event);
  REQUIRE(std::holds_alternative<Head>(*event));
  return std::get<Head>(*event);
}

}  // namespace

TEST_CASE("a request is read as sent, field names in lower case") {
  Head head = head_of(Role::request,
                      "GET /a?b=c HTTP/1.1\r\nHost: x:80\r\nX-Many:  1 \r\nx-many:2\r\nEmpty:\r\n\r\n");
  CHECK(head.method == "GET");
  CHECK(head.target == "/a?b=c");
  CHECK(head.version == 11);
  CHECK(head.framing == Framing::none);
  CHECK(head.keep_alive);
  CHECK(head.fields == Fields{{"host", "x:80"}, {"x-many", "1"}, {"x-many", "2"}, {"empty", ""}});
  CHECK(find(head.fields, "x-many") == "1");
  CHECK_FALSE(find(head.fields, "absent"));
}

TEST_CASE("bodies by length, by chunks and by the end of the connection") {
  CHECK(read(Role::request, request("content-length: 5\r\n", "hello"))
            .ends_with("body hello\nend\neof: idle\n"));
  CHECK(read(Role::request, request("content-length: 0\r\n")).ends_with("\"0\"\nend\neof: idle\n"));
  CHECK(read(Role::request,
             request("transfer-encoding: Chunked\r\n", "5;a=b\r\nhello\r\n00A\r\n, 10 bytes\r\n0\r\n\r\n"))
            .ends_with("body hello, 10 bytes\nend\neof: idle\n"));
  CHECK(read(Role::response, response("", "until the end")).ends_with("body until the end\neof: end\n"));
}

TEST_CASE("a body that stops early is an end of file, not an end") {
  CHECK(read(Role::request, request("content-length: 5\r\n", "hell")).ends_with("eof: cut short\n"));
  CHECK(read(Role::request, request("transfer-encoding: chunked\r\n", "5\r\nhello\r\n"))
            .ends_with("eof: cut short\n"));
  CHECK(read(Role::request, "GET / HTTP/1.1\r\n").ends_with("eof: cut short\n"));
  CHECK(read(Role::request, "") == "eof: idle\n");
}

TEST_CASE("trailers stay apart from headers") {
  std::string chunks = "1\r\nx\r\n0\r\nGrpc-Status: 0\r\nx: y\r\n\r\n";
  CHECK(read(Role::response, response("transfer-encoding: chunked\r\n", chunks))
            .ends_with("body x\ntrailer grpc-status: \"0\"\ntrailer x: \"y\"\nend\neof: idle\n"));
  for (std::string name : {"Content-Length: 1", "Transfer-Encoding: chunked", "Host: b"}) {
    INFO(name);
    CHECK(refusal(Role::request, request("transfer-encoding: chunked\r\n", "0\r\n" + name + "\r\n\r\n")) ==
          400);
  }
}

TEST_CASE("pipelined requests come one after the other") {
  std::string two = request("content-length: 1\r\n", "a") + "\r\n" + request("content-length: 1\r\n", "b");
  std::string events = read(Role::request, two);
  CHECK(events.find("body a\nend\nhead POST") != std::string::npos);
  CHECK(events.ends_with("body b\nend\neof: idle\n"));
}

TEST_CASE("the rest of the input stays with the caller") {
  Parser parser(Role::request);
  std::string bytes = request("content-length: 1\r\n", "a") + "GET /next";
  std::string_view input = bytes;
  REQUIRE(std::holds_alternative<Head>(*parser.next(input)));
  REQUIRE(std::get<Body>(*parser.next(input)).bytes.data() == bytes.data() + bytes.size() - 10);
  REQUIRE(std::holds_alternative<End>(*parser.next(input)));
  CHECK(input == "GET /next");
}

TEST_CASE("however the bytes are cut, the events are the same") {
  struct Case {
    Role role;
    std::string bytes;
  };
  std::string chunked = "transfer-encoding: chunked\r\n";
  const Case cases[] = {
      {Role::request, "\r\n" + request("content-length: 11\r\n", "hello\r\n\r\nxx") + request("", "")},
      {Role::request,
       request(chunked, "3\r\nabc\r\n1f;x=\"y\"\r\n0123456789012345678901234567890\r\n0\r\na: b\r\n\r\n") +
           request(chunked, "0\r\n\r\n")},
      {Role::request, request("x: a\nb\r\n")},
      {Role::request, request(chunked, "3\r\nabcd\r\n")},
      {Role::response, "HTTP/1.1 100 Continue\r\n\r\n" + response("", "the rest\r\n\r\n")},
      {Role::response, response("content-length: 2\r\n", "ok") + response(chunked, "1\r\n\r\r\n0\r\n\r\n")},
  };
  for (const Case& c : cases) {
    std::string whole = read(c.role, c.bytes);
    for (size_t piece = 1; piece <= c.bytes.size(); ++piece) {
      INFO(c.bytes << " in pieces of " << piece);
      REQUIRE(read(c.role, c.bytes, piece) == whole);
    }
  }
}

TEST_CASE("framing that two parsers could read in two ways is refused") {
  struct Case {
    const char* why;
    std::string fields, body;
    int status;
  };
  const Case cases[] = {
      {"CL.TE", "content-length: 6\r\ntransfer-encoding: chunked\r\n", "0\r\n\r\nG", 400},
      {"TE.CL", "transfer-encoding: chunked\r\ncontent-length: 4\r\n", "5c\r\nGPOST", 400},
      {"TE.TE", "transfer-encoding: chunked\r\ntransfer-encoding: x\r\n", "", 400},
      {"TE twice", "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n", "", 400},
      {"TE list", "transfer-encoding: gzip, chunked\r\n", "", 501},
      {"TE list, chunked twice", "transfer-encoding: chunked, chunked\r\n", "", 501},
      {"TE identity", "transfer-encoding: identity\r\n", "", 501},
      {"TE lookalike", "transfer-encoding: xchunked\r\n", "", 501},
      {"TE with parameter", "transfer-encoding: chunked;q=1\r\n", "", 501},
      {"TE empty", "transfer-encoding:\r\n", "", 501},
      {"TE quoted", "transfer-encoding: \"chunked\"\r\n", "", 501},
      {"TE with vertical tab", "transfer-encoding: \vchunked\r\n", "", 400},
      {"TE folded", "transfer-encoding:\r\n chunked\r\n", "", 400},
      {"TE with space before the colon", "transfer-encoding : chunked\r\n", "", 400},
      {"TE after white space", " transfer-encoding: chunked\r\n", "", 400},
      {"TE after a bare CR", "x: y\rtransfer-encoding: chunked\r\n", "", 400},
      {"TE after a bare LF", "x: y\ntransfer-encoding: chunked\r\n", "", 400},
      {"CL twice, same", "content-length: 1\r\ncontent-length: 1\r\n", "a", 400},
      {"CL twice, different", "content-length: 1\r\ncontent-length: 2\r\n", "a", 400},
      {"CL list", "content-length: 1, 1\r\n", "a", 400},
      {"CL with plus", "content-length: +1\r\n", "a", 400},
      {"CL negative", "content-length: -1\r\n", "a", 400},
      {"CL hexadecimal", "content-length: 0x1\r\n", "a", 400},
      {"CL with space inside", "content-length: 1 1\r\n", "a", 400},
      {"CL empty", "content-length:\r\n", "", 400},
      {"CL beyond 63 bits", "content-length: 9223372036854775808\r\n", "", 400},
      {"CL beyond 64 bits", "content-length: 18446744073709551617\r\n", "", 400},
      {"second host", "host: b\r\n", "", 400},
      {"NUL in a value", std::string("x: a\0b\r\n", 8), "", 400},
      {"NUL in a name", std::string("x\0y: a\r\n", 8), "", 400},
      {"DEL in a value", "x: a\x7f\r\n", "", 400},
      {"no colon", "transfer-encoding chunked\r\n", "", 400},
      {"empty name", ": chunked\r\n", "", 400},
      {"name that is no token", "a(b): c\r\n", "", 400},
  };
  for (const Case& c : cases) {
    INFO(c.why);
    CHECK(refusal(Role::request, request(c.fields, c.body)) == c.status);
  }
}

TEST_CASE("a request line is exact") {
  struct Case {
    std::string line;
    int status;
  };
  const Case cases[] = {
      {"GET / HTTP/1.1", 0},       {"GET http://a/ HTTP/1.1", 0},
      {"OPTIONS * HTTP/1.1", 0},   {"M-SEARCH / HTTP/1.1", 0},
      {"GET / HTTP/1.1 ", 400},    {"GET  / HTTP/1.1", 400},
      {"GET / x HTTP/1.1", 400},   {"GET /", 400},
      {" GET / HTTP/1.1", 400},    {"GET\t/ HTTP/1.1", 400},
      {"GE(T / HTTP/1.1", 400},    {"GET / HTTP/2.0", 400},
      {"GET / HTTP/0.9", 400},     {"GET / http/1.1", 400},
      {"GET / HTTP/1.2", 400},     {"GET / HTTP/1.01", 400},
      {"GET / HTTP/11", 400},      {"PRI * HTTP/2.0", 400},
      {"GET /\x01 HTTP/1.1", 400}, {"\r\n\r\nGET / HTTP/1.1", 400},
  };
  for (const Case& c : cases) {
    INFO(c.line);
    CHECK(refusal(Role::request, c.line + "\r\n" + kHost + "\r\n") == c.status);
  }
}

TEST_CASE("HTTP/1.1 needs one host that is a host, HTTP/1.0 may have none and no transfer-encoding") {
  CHECK(refusal(Role::request, "GET / HTTP/1.1\r\n\r\n") == 400);
  CHECK(refusal(Role::request, "GET / HTTP/1.1\r\nhost: [::1]:80\r\n\r\n") == 0);
  for (std::string host : {"a/b", "a@b", "a b", "a?b", "a#b", "a\\b", "a\tb"})
    CHECK(refusal(Role::request, "GET / HTTP/1.1\r\nhost: " + host + "\r\n\r\n") == 400);
  CHECK(refusal(Role::request, "GET / HTTP/1.0\r\n\r\n") == 0);
  CHECK(refusal(Role::request, "GET / HTTP/1.0\r\nhost: a\r\nhost: a\r\n\r\n") == 400);
  CHECK(refusal(Role::request, "GET / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n") == 400);
}

TEST_CASE("chunk lines are exact and bounded") {
  struct Case {
    const char* why;
    std::string body;
    int status;
  };
  const Case cases[] = {
      {"upper and lower case", "Aa\r\n" + std::string(0xaa, 'x') + "\r\n0\r\n\r\n", 0},
      {"zeros in front", "0000001\r\na\r\n000\r\n\r\n", 0},
      {"extension", "1;name=\"va lue\";other\r\na\r\n0;last\r\n\r\n", 0},
      {"prefix", "0x1\r\na\r\n", 400},
      {"plus", "+1\r\na\r\n", 400},
      {"negative", "-1\r\na\r\n", 400},
      {"space in front", " 1\r\na\r\n", 400},
      {"space behind", "1 \r\na\r\n", 400},
      {"underscore", "1_0\r\n", 400},
      {"empty", "\r\na\r\n", 400},
      {"extension without size", ";a\r\na\r\n", 400},
      {"overflows 64 bits", "10000000000000001\r\na\r\n", 400},
      {"nearly overflows", "ffffffffffffffff\r\na\r\n", 400},
      {"data longer than size", "1\r\nab\r\n", 400},
      {"data shorter than size", "3\r\na\r\n0\r\n\r\n", 400},
      {"bare LF after the size", "1\na\r\n0\r\n\r\n", 400},
      {"bare LF after the data", "1\r\na\n0\r\n\r\n", 400},
      {"bare CR in an extension", "1;a\rb\r\na\r\n", 400},
      {"bare LF in an extension", "1;a\nb\r\na\r\n", 400},
      {"NUL in an extension", std::string("1;\0\r\na\r\n", 8), 400},
      {"line without end", std::string(300, '0'), 400},
      {"line with an endless extension", "1;" + std::string(300, 'a'), 400},
      {"folded trailer", "0\r\na: b\r\n c\r\n\r\n", 400},
      {"trailer without colon", "0\r\nab\r\n\r\n", 400},
  };
  for (const Case& c : cases) {
    INFO(c.why);
    CHECK(refusal(Role::request, request("transfer-encoding: chunked\r\n", c.body)) == c.status);
  }
}

TEST_CASE("a flood of chunk extensions ends the message") {
  std::string body;
  for (int i = 0; i < 60; ++i) body += "1;" + std::string(200, 'a') + "\r\nx\r\n";
  CHECK(refusal(Role::request, request("transfer-encoding: chunked\r\n", body)) == 400);
}

TEST_CASE("header sections are bounded in bytes and in fields") {
  auto fields = [](size_t n) {
    std::string out;
    for (size_t i = 0; i < n; ++i) out += fmt::format("x-{}: y\r\n", i);
    return out;
  };
  CHECK(refusal(Role::request, request(fields(99))) == 0);
  CHECK(refusal(Role::request, request(fields(100))) == 431);
  CHECK(refusal(Role::request, request("x: " + std::string(60000, 'a') + "\r\n")) == 0);
  CHECK(refusal(Role::request, request("x: " + std::string(61440, 'a') + "\r\n")) == 431);
  CHECK(refusal(Role::request, std::string(61441, 'a')) == 431);
  CHECK(refusal(Role::response, response(fields(101))) == 502);
  std::string chunked = "transfer-encoding: chunked\r\n";
  CHECK(refusal(Role::request, request(chunked, "0\r\n" + fields(100) + "\r\n")) == 0);
  CHECK(refusal(Role::request, request(chunked, "0\r\n" + fields(101) + "\r\n")) == 431);
  CHECK(refusal(Role::request, request(chunked, "0\r\nx: " + std::string(61440, 'a') + "\r\n\r\n")) == 431);
}

TEST_CASE("a smaller bound can be set") {
  Parser parser(Role::request, {.section = 8 << 10});
  transcript(parser, request("x: " + std::string(8200, 'a') + "\r\n"), SIZE_MAX);
  CHECK(parser.status() == 431);
}

TEST_CASE("an error is final") {
  Parser parser(Role::request);
  std::string_view bad = "GET / HTTP/9.9\r\n\r\n", good = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
  Result<Event> first = parser.next(bad);
  REQUIRE_FALSE(first);
  CHECK(first.error().detail.starts_with("HTTP/1 request: "));
  Result<Event> second = parser.next(good);
  REQUIRE_FALSE(second);
  CHECK(second.error().detail == first.error().detail);
}

TEST_CASE("keep-alive follows the version and the connection options") {
  struct Case {
    std::string version, connection;
    bool keep_alive;
  };
  const Case cases[] = {
      {"1.1", "x", true},
      {"1.1", "Close", false},
      {"1.1", "x, close", false},
      {"1.1", "close\r\nConnection: keep-alive", false},
      {"1.0", "x", false},
      {"1.0", "Keep-Alive", true},
      {"1.0", "keep-alive, close", false},
  };
  for (const Case& c : cases) {
    INFO(c.version << ' ' << c.connection);
    std::string bytes =
        fmt::format("GET / HTTP/{}\r\n{}Connection: {}\r\n\r\n", c.version, kHost, c.connection);
    CHECK(head_of(Role::request, bytes).keep_alive == c.keep_alive);
  }
}

TEST_CASE("expect: 100-continue waits only for a body") {
  CHECK(head_of(Role::request, request("expect: 100-Continue\r\ncontent-length: 1\r\n")).expect_continue);
  CHECK_FALSE(head_of(Role::request, request("expect: 100-continue\r\n")).expect_continue);
  CHECK_FALSE(head_of(Role::request, request("content-length: 1\r\n")).expect_continue);
}

TEST_CASE("an upgrade counts when the connection field nominates it") {
  CHECK(
      head_of(Role::request, request("connection: keep-alive, Upgrade\r\nupgrade: websocket\r\n")).upgrade ==
      "websocket");
  CHECK(head_of(Role::request, request("upgrade: websocket\r\n")).upgrade.empty());
  CHECK(head_of(Role::request, request("connection: upgrade\r\n")).upgrade.empty());
}

TEST_CASE("responses without a body, whatever their fields say") {
  struct Case {
    std::string line, fields, method;
    bool upgrade;
    Framing framing;
  };
  const Case cases[] = {
      {"HTTP/1.1 200 OK", "content-length: 5\r\n", "HEAD", false, Framing::none},
      {"HTTP/1.1 200 OK", "transfer-encoding: chunked\r\n", "HEAD", false, Framing::none},
      {"HTTP/1.1 304 Not Modified", "content-length: 5\r\n", "GET", false, Framing::none},
      {"HTTP/1.1 204 No Content", "content-length: 0\r\n", "GET", false, Framing::none},
      {"HTTP/1.1 103 Early Hints", "link: a\r\n", "GET", false, Framing::none},
      {"HTTP/1.1 101 Switching Protocols", "", "GET", true, Framing::tunnel},
      {"HTTP/1.1 200 OK", "", "CONNECT", false, Framing::tunnel},
      {"HTTP/1.1 403 Forbidden", "content-length: 5\r\n", "CONNECT", false, Framing::length},
      {"HTTP/1.1 200 ", "", "GET", false, Framing::until_close},
  };
  for (const Case& c : cases) {
    INFO(c.line << ' ' << c.fields << ' ' << c.method);
    CHECK(head_of(Role::response, c.line + "\r\n" + c.fields + "\r\n", c.method, c.upgrade).framing ==
          c.framing);
  }
}

TEST_CASE("responses that would desynchronize the connection are refused with 502") {
  const std::string cases[] = {
      "HTTP/1.1 101 Switching Protocols\r\n\r\n",
      "HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n",
      "HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n",
      "HTTP/1.1 100 Continue\r\ncontent-length: 5\r\n\r\n",
      "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
      "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
      "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
      "HTTP/1.1 099 Odd\r\n\r\n",
      "HTTP/1.1 2000 Odd\r\n\r\n",
      "HTTP/1.1 20 Odd\r\n\r\n",
      "HTTP/1.1  200 OK\r\n\r\n",
      "ICY 200 OK\r\n\r\n",
      "\r\nHTTP/1.1 200 OK\r\n\r\n",
  };
  for (const std::string& bytes : cases) {
    INFO(bytes);
    CHECK(refusal(Role::response, bytes) == 502);
  }
}

TEST_CASE("an interim response is a message of its own") {
  Parser parser(Role::response);
  parser.expect("HEAD");
  std::string bytes = "HTTP/1.1 100 Continue\r\n\r\n" + response("content-length: 5\r\n");
  std::string events = transcript(parser, bytes, SIZE_MAX);
  CHECK(events.find("head  \"\" 100 \"Continue\" 1.1") == 0);
  CHECK(events.find("end\nhead  \"\" 200") != std::string::npos);
  CHECK(events.ends_with("end\neof: idle\n"));
}

TEST_CASE("after CONNECT or 101 the bytes belong to the caller") {
  Parser parser(Role::request);
  std::string_view input = "CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n\x16\x03";
  Result<Event> head = parser.next(input);
  REQUIRE(std::get<Head>(*head).framing == Framing::tunnel);
  REQUIRE(std::holds_alternative<End>(*parser.next(input)));
  CHECK(input == "\x16\x03");
  CHECK(refusal(Role::request, "CONNECT a:80 HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx") == 400);
}
