// SPDX-License-Identifier: Apache-2.0
#include "l7/proxy.h"
#include "test/support/catch.h"
#include "test/support/http_script.h"
#include "test/support/run.h"

using namespace ambientd;
using Catch::Contains;
using test::read_until;

namespace {

struct Upstream {
  std::string seen;                  // by all connections
  std::vector<std::string> answers;  // one per request; the last is repeated
  size_t requests = 0, connections = 0, open = 0;
  Event over{"end of all connections"};
  size_t close_on = 0;  // a connection's n-th request gets no answer but its end
};

// Answers each request once its head is there.
Task<void> answer_each(std::unique_ptr<TcpStream> stream, Upstream* upstream) {
  ++upstream->connections;
  ++upstream->open;
  upstream->over.reset();
  std::string input;
  for (size_t here = 1;; ++here) {
    bool whole = co_await read_until(*stream, "\r\n\r\n", input);
    if (!whole || here == upstream->close_on) break;
    size_t end = input.find("\r\n\r\n") + 4;
    upstream->seen += input.substr(0, end);
    input.erase(0, end);
    size_t at = std::min(upstream->requests++, upstream->answers.size() - 1);
    Status sent = co_await test::send_text(*stream, upstream->answers[at]);
    if (!sent) break;
  }
  if (--upstream->open == 0) upstream->over.set();
}

struct Fixture : test::World {
  explicit Fixture(std::string answer = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
                   config::Mesh mesh = test::small_mesh())
      : World(std::move(mesh)) {
    upstream.answers = {std::move(answer)};
    connector.serve = [this](std::unique_ptr<TcpStream> stream) {
      return answer_each(std::move(stream), &upstream);
    };
  }
  Upstream upstream;
};

// Ends what the worker kept, so that the test ends clean.
Task<void> wind_up(Fixture& world) {
  world.worker.upstreams.drain();
  if (world.upstream.open > 0) co_await world.upstream.over;
}

// Sends `text` on a tunnel and returns what comes until `until`, or all of it.
Task<void> converse(test::World& world, std::string authority, std::string text, std::string until,
                    std::string& got) {
  std::unique_ptr<TcpStream> client = world.open(authority);
  REQUIRE(client);
  Status sent = co_await test::send_text(*client, std::move(text));
  CHECK(sent);
  if (until.empty()) {
    co_await test::read_all(*client, got);
  } else {
    bool found = co_await read_until(*client, until, got);
    CHECK(found);
  }
  client->finish();
  std::string rest;
  co_await test::read_all(*client, rest);
}

const std::string kGet = "GET /reviews/1?a=b HTTP/1.1\r\nHost: anything\r\n\r\n";

Task<void> simple_get(Fixture& world) {
  std::string got;
  co_await converse(world, "10.96.0.10:9080", kGet, "hello", got);
  CHECK_THAT(got, Catch::StartsWith("HTTP/1.1 200 OK\r\n"));
  CHECK_THAT(got, Contains("server: istio-envoy\r\n"));
  CHECK_THAT(got, Contains("x-envoy-upstream-service-time: "));
  CHECK_THAT(got, Contains("date: "));
  CHECK_THAT(world.upstream.seen, Catch::StartsWith("GET /reviews/1?a=b HTTP/1.1\r\nhost: anything\r\n"));
  CHECK_THAT(world.upstream.seen, Contains("x-request-id: "));
  REQUIRE(world.connector.dialled.size() == 1);
  CHECK(world.connector.dialled[0].address.str() == "10.1.0.10:8080");
  CHECK(world.connector.dialled[0].identity->uri() == "spiffe://cluster.local/ns/default/sa/reviews");
  co_await wind_up(world);
  REQUIRE(world.lines.size() == 1);
  CHECK_THAT(world.lines[0], Contains("\"GET /reviews/1?a=b HTTP/1.1\" 200 - via_upstream"));
}

Task<void> pipelined(Fixture& world) {
  std::string got;
  co_await converse(world, "10.96.0.10:80", kGet + kGet + "GET /last HTTP/1.1\r\nHost: x\r\n\r\n", "ccccc",
                    got);
  size_t a = got.find("aaaaa"), b = got.find("bbbbb"), c = got.find("ccccc");
  CHECK(a < b);
  CHECK(b < c);
  CHECK(world.upstream.connections == 1);
  co_await wind_up(world);
}

Task<void> stale_connection(Fixture& world) {
  std::string first, second;
  co_await converse(world, "10.96.0.10:80", kGet, "aaaaa", first);
  CHECK(world.worker.upstreams.idle() == 1);
  co_await converse(world, "10.96.0.10:80", kGet, "bbbbb", second);
  CHECK(world.upstream.connections == 2);
  co_await wind_up(world);
}

Task<void> refused(test::World& world, std::string authority, std::string request, std::string expected) {
  std::string got;
  co_await converse(world, authority, std::move(request), "", got);
  INFO(got);
  CHECK_THAT(got, Catch::StartsWith(expected));
}

}  // namespace

TEST_CASE("a request goes to an endpoint of the service the tunnel is for, whatever Host says") {
  Loop loop;
  Fixture world;
  test::run(loop, simple_get(world));
}

TEST_CASE("pipelined requests are answered in order over one upstream connection") {
  Loop loop;
  Fixture world;
  auto answer = [](std::string text) { return "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n" + text; };
  world.upstream.answers = {answer("aaaaa"), answer("bbbbb"), answer("ccccc")};
  test::run(loop, pipelined(world));
}

TEST_CASE("a kept upstream connection that closes under a request is replaced, unnoticed by the client") {
  Loop loop;
  Fixture world;
  world.upstream.close_on = 2;
  world.upstream.answers = {"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\naaaaa",
                            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nbbbbb"};
  test::run(loop, stale_connection(world));
}

TEST_CASE("what is not HTTP/1.1 is refused with the status Envoy gives it, and the connection ends") {
  struct Case {
    std::string request, answer;
  };
  auto c =
      GENERATE(Case{"GET / HTTP/1.0\r\nHost: a\r\n\r\n", "HTTP/1.1 426 Upgrade Required\r\n"},
               Case{"hello world\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n"},
               Case{"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n"},
               Case{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
                    "HTTP/1.1 400 Bad Request\r\n"},
               Case{"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
                    "HTTP/1.1 501 Not Implemented\r\n"},
               Case{"GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(70000, 'x') + "\r\n\r\n",
                    "HTTP/1.1 431 Request Header Fields Too Large\r\n"},
               Case{"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 403 Forbidden\r\n"});
  Loop loop;
  Fixture world;
  test::run(loop, refused(world, "10.96.0.10:80", c.request, c.answer));
  CHECK(world.connector.dialled.empty());
  CHECK(world.lines.size() == 1);
}
