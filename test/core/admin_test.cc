// SPDX-License-Identifier: Apache-2.0
#include "core/admin.h"

#include <zlib.h>

#include "core/gzip.h"
#include "core/log.h"
#include "test/support/catch.h"
#include "test/support/run.h"
#include "test/support/stream_pair.h"

using namespace ambientd;

namespace {

const SockAddr kAnyPort{Ip::loopback(false), 0};

std::string gunzip(std::string_view zipped) {
  z_stream stream{};
  REQUIRE(inflateInit2(&stream, 15 + 16) == Z_OK);
  std::string out(1 << 20, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(zipped.data()));
  stream.avail_in = static_cast<uInt>(zipped.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  CHECK(inflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  inflateEnd(&stream);
  return out;
}

AdminResponse echo(const AdminRequest& request) {
  return {.body = request.method + " " + request.query + " " + request.parameter("level").value_or("-") +
                  " " + request.body};
}

// An Admin on some port with a few routes, and what tests do to it.
struct Served {
  Admin admin;
  explicit Served(AdminLimits limits = {}) : admin("test admin", limits) {
    admin.route("/echo", echo);
    admin.route("/large",
                [](const AdminRequest&) { return AdminResponse{.body = std::string(100'000, 'x')}; });
    admin.route("/json", [](const AdminRequest&) {
      return AdminResponse{.body = "{}", .content_type = "application/json"};
    });
    REQUIRE(admin.listen(kAnyPort));
  }
  SockAddr at() const { return admin.addresses().at(0); }
};

Task<std::unique_ptr<TcpStream>> dial(SockAddr to) {
  Scope scope;
  Result<Fd> socket = tcp_socket(false, 0);
  Result<Fd> connected = co_await connect(std::move(*socket), to, scope);
  REQUIRE(connected);
  co_return std::make_unique<TcpStream>(std::move(*connected));
}

// What comes back for `bytes` until the server closes; our direction is ended when `ends`.
Task<std::string> talk(Served& served, std::string bytes, bool ends = true) {
  std::unique_ptr<TcpStream> stream = co_await dial(served.at());
  Status sent = co_await test::send_text(*stream, std::move(bytes));
  CHECK(sent);
  if (ends) stream->finish();
  std::string got;
  co_await test::read_all(*stream, got);
  co_return got;
}

Task<void> check_requests() {
  Served served;
  std::string got = co_await talk(served, "GET /echo?level=a%3db&x HTTP/1.1\r\nhost: a\r\n\r\n");
  CHECK(got.starts_with("HTTP/1.1 200 OK\r\ndate: "));
  CHECK(got.find("content-type: text/plain; charset=utf-8\r\n") != std::string::npos);
  CHECK(got.ends_with("\r\n\r\nGET level=a%3db&x a=b "));
  got = co_await talk(served, "POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi");
  CHECK(got.ends_with("POST  - hi"));
  got = co_await talk(served, "GET /json HTTP/1.1\r\nhost: a\r\n\r\n");
  CHECK(got.find("content-type: application/json\r\n") != std::string::npos);
  got = co_await talk(served, "HEAD /echo HTTP/1.1\r\nhost: a\r\n\r\n");
  CHECK(got.find("content-length: 8\r\n") != std::string::npos);
  CHECK(got.ends_with("\r\n\r\n"));
  got = co_await talk(served, "GET /nowhere HTTP/1.1\r\nhost: a\r\n\r\n");
  CHECK(got.starts_with("HTTP/1.1 404 Not Found\r\n"));
  CHECK(got.find("content-length: 0\r\n") != std::string::npos);
  co_await served.admin.stop();
}

Task<void> check_refusals() {
  Served served;
  struct Case {
    std::string bytes;
    const char* answer;
  };
  const Case cases[] = {
      {"\x16\x03\x01 tls\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n"},
      {"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n"},
      {"GET / HTTP/1.1\r\nhost: a\r\nx: " + std::string(9000, 'a') + "\r\n\r\n", "HTTP/1.1 431 "},
      {"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 99999\r\n\r\n" + std::string(99999, 'a'),
       "HTTP/1.1 413 "},
      {"POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n", "HTTP/1.1 501 "},
  };
  for (const Case& c : cases) {
    std::string got = co_await talk(served, c.bytes);
    INFO(c.bytes.substr(0, 60));
    CHECK(got.starts_with(c.answer));
    CHECK(got.find("connection: close\r\n") != std::string::npos);
  }
  std::string cut = co_await talk(served, "GET /echo HT");
  CHECK(cut.empty());
  co_await served.admin.stop();
}

Task<void> check_keep_alive() {
  Served served;
  std::string two =
      co_await talk(served,
                    "GET /echo?level=1 HTTP/1.1\r\nhost: a\r\n\r\nGET /echo?level=2 HTTP/1.1\r\nhost: a\r\n"
                    "connection: close\r\n\r\nGET /echo?level=3 HTTP/1.1\r\nhost: a\r\n\r\n",
                    false);
  CHECK(two.find("GET level=1 1 ") != std::string::npos);
  CHECK(two.find("GET level=2 2 ") != std::string::npos);
  CHECK(two.find("level=3") == std::string::npos);
  std::string old = co_await talk(served, "GET /echo HTTP/1.0\r\n\r\n", false);
  CHECK(old.starts_with("HTTP/1.0 200 OK\r\n"));
  std::string waits = co_await talk(served,
                                    "POST /echo HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\nconnection: "
                                    "close\r\ncontent-length: 1\r\n\r\nx",
                                    false);
  CHECK(waits.ends_with("POST  - x"));
  co_await served.admin.stop();
}

Task<void> check_gzip() {
  Served served;
  std::string plain = co_await talk(served, "GET /large HTTP/1.1\r\nhost: a\r\n\r\n");
  CHECK(plain.ends_with(std::string(100'000, 'x')));
  std::string zipped =
      co_await talk(served, "GET /large HTTP/1.1\r\nhost: a\r\naccept-encoding: br, gzip\r\n\r\n");
  CHECK(zipped.size() < 2000);
  CHECK(zipped.find("content-encoding: gzip\r\n") != std::string::npos);
  CHECK(gunzip(zipped.substr(zipped.find("\r\n\r\n") + 4)) == std::string(100'000, 'x'));
  co_await served.admin.stop();
}

Task<void> check_slow_peers() {
  Served served({.header_ms = 30, .idle_ms = 60});
  std::string silent = co_await talk(served, "", false);
  CHECK(silent.empty());
  std::string slow = co_await talk(served, "GET /echo HTTP/1.1\r\nho", false);
  CHECK(slow.empty());
  std::string idle = co_await talk(served, "GET /echo HTTP/1.1\r\nhost: a\r\n\r\n", false);
  CHECK(idle.starts_with("HTTP/1.1 200 OK\r\n"));
  co_await served.admin.stop();
}

Task<void> check_bound() {
  Served served({.connections = 2});
  std::unique_ptr<TcpStream> first = co_await dial(served.at());
  std::unique_ptr<TcpStream> second = co_await dial(served.at());
  std::string refused = co_await talk(served, "", false);
  CHECK(refused.empty());
  Status sent =
      co_await test::send_text(*second, "GET /json HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
  CHECK(sent);
  std::string answer;
  co_await test::read_all(*second, answer);
  CHECK(answer.ends_with("{}"));
  co_await served.admin.stop();
}

Task<void> check_stop() {
  Served served;
  std::unique_ptr<TcpStream> idle = co_await dial(served.at());
  Status sent = co_await test::send_text(*idle, "GET /json HTTP/1.1\r\nhost: a\r\n\r\n");
  CHECK(sent);
  std::string answer;
  co_await test::read_n(*idle, 10, answer);
  SockAddr at = served.at();
  co_await served.admin.stop();
  std::string rest;
  std::optional<Error> why;
  co_await test::read_all(*idle, rest, &why);
  Scope scope;
  Result<HttpMessage> gone = co_await http_call(at, {.head = {.method = "GET", .target = "/"}}, scope);
  REQUIRE_FALSE(gone);
  CHECK(gone.error().code == Errc::connect_refused);
}

Task<void> check_taken_port() {
  Served served;
  Admin other("other");
  Status taken = other.listen(served.at());
  REQUIRE_FALSE(taken);
  CHECK(taken.error().detail.find(served.at().str()) != std::string::npos);
  co_await served.admin.stop();
}

HttpMessage get(std::string target) {
  return {.head = {.method = "GET", .target = std::move(target), .fields = {{"host", "localhost"}}}};
}

Task<void> check_client() {
  Served served;
  Scope scope;
  Result<HttpMessage> large = co_await http_call(served.at(), get("/large"), scope);
  REQUIRE(large);
  CHECK(large->head.status == 200);
  CHECK(large->body.size() == 100'000);
  HttpMessage post = get("/echo");
  post.head.method = "POST";
  post.body = "text";
  Result<HttpMessage> posted = co_await http_call(served.at(), std::move(post), scope);
  REQUIRE(posted);
  CHECK(posted->body == "POST  - text");
  Result<HttpMessage> missing = co_await http_call(served.at(), get("/nowhere"), scope);
  REQUIRE(missing);
  CHECK(missing->head.status == 404);
  HttpMessage evil = get("/a b");
  Result<HttpMessage> refused = co_await http_call(served.at(), std::move(evil), scope);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Errc::invalid);
  co_await served.admin.stop();
}

}  // namespace

TEST_CASE("the admin port answers by path") {
  Loop loop;
  test::run(loop, check_requests());
}

TEST_CASE("the admin port says what is wrong with a request and closes") {
  Loop loop;
  test::run(loop, check_refusals());
}

TEST_CASE("admin connections are kept alive as the peer wants") {
  Loop loop;
  test::run(loop, check_keep_alive());
}

TEST_CASE("large admin answers are zipped for those who accept it") {
  Loop loop;
  test::run(loop, check_gzip());
}

TEST_CASE("peers that do not finish a request, or start none, are let go") {
  Loop loop;
  test::run(loop, check_slow_peers());
}

TEST_CASE("admin connections are bounded and the others go on") {
  log::redirect_to([](std::string_view) {});
  {
    Loop loop;
    test::run(loop, check_bound());
  }
  log::redirect_to(nullptr);
}

TEST_CASE("a stopped admin port has let everybody go") {
  Loop loop;
  test::run(loop, check_stop());
}

TEST_CASE("the HTTP client reads what an admin port says") {
  Loop loop;
  test::run(loop, check_client());
}

TEST_CASE("a taken port is an error that names it") {
  Loop loop;
  test::run(loop, check_taken_port());
}

TEST_CASE("who accepts gzip") {
  for (const char* yes : {"gzip", "GZIP", "br, gzip;q=0.5", "*", "deflate, *;q=0.1", "gzip;q=0.001"})
    CHECK(accepts_gzip(yes));
  for (const char* no : {"", "identity", "br", "gzip;q=0", "gzip; q=0.000, *", "*;q=0", "xgzip"})
    CHECK_FALSE(accepts_gzip(no));
}
