// SPDX-License-Identifier: Apache-2.0
#include "core/fetch.h"

#include "core/loop.h"
#include "core/socket.h"
#include "core/tcp_stream.h"
#include "test/support/catch.h"
#include "test/support/run.h"

using namespace ambientd;
using Catch::Contains;

namespace {

// Sends `answer` to whoever connects, once a request has come, and closes.
struct Server {
  explicit Server(std::string text) : answer(std::move(text)) {
    Result<Fd> fd = tcp_socket(false, 0);
    REQUIRE(fd);
    REQUIRE(listen_on(fd->get(), {Ip::loopback(false), 0}, 16));
    at = *local_address(fd->get());
    acceptor = std::make_unique<Acceptor>(
        std::move(*fd), [this](Fd each) { Loop::current().spawn("server", serve(std::move(each))); });
  }

  Task<void> serve(Fd fd) {
    TcpStream stream(std::move(fd));
    while (!asked.contains("\r\n\r\n")) {
      Result<Chunk> chunk = co_await stream.read();
      if (!chunk || chunk->eof) break;
      for (const iovec& piece : chunk->data) asked.append(static_cast<char*>(piece.iov_base), piece.iov_len);
      stream.consume(total(chunk->data));
    }
    size_t sent = 0;
    while (sent < answer.size()) {
      iovec piece{answer.data() + sent, answer.size() - sent};
      Result<size_t> n = co_await stream.write({&piece, 1});
      if (!n) break;
      sent += *n;
    }
    if (hang) co_await over;
    stream.finish();
    gone.set();
  }

  Url url(std::string path = "/keys?a=b") const {
    return {.tls = false, .host = "127.0.0.1", .port = at.port, .path = std::move(path)};
  }

  std::string answer, asked;
  bool hang = false;
  Event over{"over"}, gone{"server"};
  SockAddr at;
  std::unique_ptr<Acceptor> acceptor;
};

Task<void> ask(Server& server, FetchLimits limits, Result<std::string>& out) {
  Scope scope;
  Task<Result<std::string>> fetching = fetch(server.url(), limits, scope);
  out = co_await fetching;
  server.over.set();
  co_await server.gone;
  server.acceptor.reset();
}

Result<std::string> answer_to(std::string answer, FetchLimits limits = {.own_host = true}, bool hang = false,
                              std::string* asked = nullptr) {
  Loop loop;
  Server server(std::move(answer));
  server.hang = hang;
  Result<std::string> out;
  test::run(loop, ask(server, limits, out));
  if (asked) *asked = server.asked;
  return out;
}

Task<void> refused(Url url, FetchLimits limits, Result<std::string>& out) {
  Scope scope;
  out = co_await fetch(std::move(url), limits, scope);
}

Result<std::string> fetch_of(Url url, FetchLimits limits = {}) {
  Loop loop;
  Result<std::string> out;
  test::run(loop, refused(std::move(url), limits, out));
  return out;
}

}  // namespace

TEST_CASE("a document is fetched however its answer is framed") {
  for (const char* answer :
       {"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello",
        "HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"}) {
    INFO(answer);
    std::string asked;
    Result<std::string> body = answer_to(answer, {.own_host = true}, false, &asked);
    INFO((body ? "" : body.error().detail));
    REQUIRE(body);
    CHECK(*body == "hello");
    CHECK_THAT(asked, Catch::StartsWith("GET /keys?a=b HTTP/1.1\r\nhost: 127.0.0.1:"));
  }
}

TEST_CASE("an answer that is no document is an error that names the URL") {
  struct Case {
    std::string answer;
    Errc code;
    const char* why;
  };
  const Case cases[] = {
      {"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", Errc::http_status, "answered 404"},
      {"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1/\r\n\r\n", Errc::http_status,
       "redirects are not followed"},
      {"HTTP/1.1 204 No Content\r\n\r\n", Errc::http_status, "answered 204"},
      {"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello", Errc::eof, "/keys?a=b: "},
      {"HTTP/1.1 200 OK\r\ncontent-length: 101\r\n\r\n" + std::string(101, 'x'), Errc::bad_request,
       "more than 100 bytes"},
      {"SSH-2.0\r\n\r\n", Errc::bad_request, "GET http://127.0.0.1:"},
      {"", Errc::eof, "GET http://127.0.0.1:"},
  };
  for (const Case& c : cases) {
    INFO(c.answer.substr(0, 40));
    Result<std::string> body = answer_to(c.answer, {.body = 100, .own_host = true});
    REQUIRE_FALSE(body);
    CHECK(name(body.error().code) == name(c.code));
    CHECK_THAT(body.error().detail, Contains(c.why));
  }
}

TEST_CASE("a server that does not answer in time is left") {
  Result<std::string> body = answer_to("HTTP/1.1 200 OK\r\n", {.timeout_ms = 50, .own_host = true}, true);
  REQUIRE_FALSE(body);
  CHECK(body.error().code == Errc::timed_out);
}

TEST_CASE("nothing is fetched from this host or its link, whatever its name") {
  for (const char* host : {"127.0.0.1", "localhost", "::1", "169.254.169.254", "fe80::1", "0.0.0.0",
                           "fd00:ec2::254", "224.0.0.1"}) {
    INFO(host);
    Result<std::string> body = fetch_of({.tls = false, .host = host, .port = 15000, .path = "/"});
    REQUIRE_FALSE(body);
    CHECK(body.error().code == Errc::denied);
  }
  CHECK(may_fetch_from(*Ip::parse("10.0.0.1")));
  CHECK(may_fetch_from(*Ip::parse("fd00::1")));
}

TEST_CASE("a name that nobody knows is an error that says so") {
  Result<std::string> body = fetch_of({.tls = false, .host = "nobody.invalid", .port = 80, .path = "/"});
  REQUIRE_FALSE(body);
  CHECK(body.error().code == Errc::no_destination);
  CHECK_THAT(body.error().detail, Contains("resolve nobody.invalid"));
}
