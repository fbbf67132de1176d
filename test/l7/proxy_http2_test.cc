// SPDX-License-Identifier: Apache-2.0
// HTTP/2 on one or both sides of the proxy: a client session and an upstream session or script.
#include "core/relay.h"
#include "hbone/session.h"
#include "test/support/catch.h"
#include "test/support/http_script.h"
#include "test/support/run.h"

using namespace ambientd;
using Catch::Contains;
using hbone::Headers;
using test::Scene;

namespace {

constexpr auto kSniffed = "10.96.0.10:9080";
constexpr auto kHttp1 = "10.96.0.10:80";
constexpr auto kGrpc = "10.96.0.10:82";

Headers request_head(std::string method, std::string path, Headers more = {}) {
  Headers head{
      {":method", std::move(method)}, {":scheme", "http"}, {":authority", "a"}, {":path", std::move(path)}};
  head.insert(head.end(), more.begin(), more.end());
  return head;
}

// What an upstream's HTTP/2 server saw and does.
struct Backend {
  Headers answer{{":status", "200"}};
  Headers trailers{{"grpc-status", "0"}};
  std::string body = "pong";
  bool reset = false;  // every stream, instead of an answer
  bool stall = false;  // no answer ever
  std::vector<Headers> heads;
  std::string received;
  Headers received_trailers;
  size_t connections = 0;
  std::optional<Errc> cut;  // a stalled stream ended with this
  Event asked{"first request"}, was_cut{"stalled stream"}, gone{"end of the connection"};
};

Task<void> answer_stream(std::unique_ptr<hbone::Exchange> stream, Backend* backend) {
  backend->heads.push_back(stream->head());
  backend->asked.set();
  if (backend->reset) co_return;
  if (backend->stall) {
    Status ended = co_await stream->headers();
    backend->cut = ended.error().code;
    backend->was_cut.set();
    co_return;
  }
  co_await test::read_all(*stream, backend->received);
  backend->received_trailers = stream->trailers();
  Status sent = stream->respond(backend->answer, false);
  if (sent && !backend->body.empty()) sent = co_await test::send_text(*stream, backend->body);
  if (sent) stream->finish_with(backend->trailers);
}

Task<void> serve_http2(std::unique_ptr<TcpStream> stream, Backend* backend) {
  ++backend->connections;
  hbone::Session session(hbone::Session::Role::server, *stream, {},
                         [backend](std::unique_ptr<hbone::Exchange> each) {
                           Loop::current().spawn("backend", answer_stream(std::move(each), backend));
                         });
  Status ended = co_await session.run();
  CHECK(session.exchanges() == 0);
  backend->gone.set();
}

// A client's session in a tunnel.
struct Client {
  explicit Client(std::unique_ptr<TcpStream> tunnel)
      : stream(std::move(tunnel)),
        session(hbone::Session::Role::client, *stream, {}),
        running(session.run()) {
    running.start();
  }
  std::unique_ptr<hbone::Exchange> ask(const Headers& head, bool end) {
    Result<std::unique_ptr<hbone::Exchange>> exchange = session.request(head, end);
    REQUIRE(exchange);
    return std::move(*exchange);
  }
  Task<void> leave() {
    session.drain();
    Status ended = co_await running;
    CHECK(session.exchanges() == 0);
  }
  std::unique_ptr<TcpStream> stream;
  hbone::Session session;
  Task<Status> running;
};

struct Http2Scene : Scene {
  Http2Scene() : Scene({}) {
    connector.serve = [this](std::unique_ptr<TcpStream> stream) {
      return serve_http2(std::move(stream), &backend);
    };
  }
  Backend backend;
};

// Ends what the worker still holds, so that the test ends clean.
Task<void> wind_up(Scene& scene) {
  co_await scene.idle;
  scene.worker.upstreams.drain();
  co_await scene.upstream.over;
}

Task<void> wind_up(Http2Scene& scene) {
  co_await wind_up(static_cast<Scene&>(scene));
  co_await scene.backend.gone;
  CHECK(scene.worker.upstreams.empty());
}

Task<void> grpc_call(Http2Scene& scene, std::string authority) {
  Client client(scene.open(authority));
  for (int i = 0; i < 2; ++i) {
    auto call = client.ask(
        request_head("POST", "/a.B/C", {{"content-type", "application/grpc"}, {"te", "trailers"}}), false);
    Status sent = co_await test::send_text(*call, "ping");
    CHECK(sent);
    call->finish_with({{"x-client-sum", "1"}});
    Status arrived = co_await call->headers();
    CHECK(arrived);
    CHECK(hbone::find(call->head(), ":status") == "200");
    CHECK(hbone::find(call->head(), "server") == "istio-envoy");
    std::string got;
    co_await test::read_all(*call, got);
    CHECK(got == "pong");
    CHECK(hbone::find(call->trailers(), "grpc-status") == "0");
  }
  co_await client.leave();
  co_await wind_up(scene);
  CHECK(scene.backend.received == "pingping");
  CHECK(hbone::find(scene.backend.received_trailers, "x-client-sum") == "1");
  CHECK(hbone::find(scene.backend.heads.at(0), "te") == "trailers");
  CHECK(hbone::find(scene.backend.heads.at(0), ":path") == "/a.B/C");
  CHECK(scene.backend.connections == 1);
}

// Head and trailers of the answer arrive together.
Task<void> bodyless_calls(Http2Scene& scene) {
  scene.backend.body.clear();
  Client client(scene.open(kGrpc));
  std::vector<std::unique_ptr<hbone::Exchange>> calls;
  for (int i = 0; i < 50; ++i) calls.push_back(client.ask(request_head("POST", "/a.B/C"), true));
  for (std::unique_ptr<hbone::Exchange>& call : calls) {
    Status arrived = co_await call->headers();
    CHECK(arrived);
    std::string got;
    co_await test::read_all(*call, got);
    CHECK(hbone::find(call->trailers(), "grpc-status") == "0");
  }
  calls.clear();
  co_await client.leave();
  co_await wind_up(scene);
  CHECK(scene.backend.connections == 1);
}

Task<void> to_http1(Scene& scene) {
  Client client(scene.open(kHttp1));
  auto call = client.ask(request_head("POST", "/up", {{"cookie", "a=1"}, {"cookie", "b=2"}}), false);
  Status sent = co_await test::send_text(*call, "ping");
  CHECK(sent);
  call->finish();
  Status arrived = co_await call->headers();
  CHECK(arrived);
  std::string got;
  co_await test::read_all(*call, got);
  CHECK(got == "pong");
  CHECK(hbone::find(call->trailers(), "x-sum") == "9");
  CHECK_FALSE(hbone::find(call->head(), "transfer-encoding"));
  call.reset();
  co_await client.leave();
  co_await wind_up(scene);
}

Task<void> from_http1(Http2Scene& scene) {
  co_await scene.play(kGrpc, {{"", "GET /x HTTP/1.1\r\nHost: b\r\nTE: trailers\r\nConnection: TE\r\n\r\n"},
                              {"\r\n\r\n4\r\npong\r\n0\r\ngrpc-status: 0\r\n\r\n", "."}});
  co_await wind_up(scene);
  CHECK(hbone::find(scene.backend.heads.at(0), ":authority") == "b");
  CHECK_FALSE(hbone::find(scene.backend.heads.at(0), "connection"));
}

Task<void> upstream_resets(Http2Scene& scene) {
  scene.backend.reset = true;
  Client client(scene.open(kSniffed));
  auto call = client.ask(request_head("GET", "/"), true);
  Status arrived = co_await call->headers();
  CHECK(arrived);
  CHECK(hbone::find(call->head(), ":status") == "503");
  std::string got;
  co_await test::read_all(*call, got);
  CHECK(got == "upstream connect error or disconnect/reset before headers. reset reason: remote reset");
  call.reset();
  co_await client.leave();
  co_await wind_up(scene);
  REQUIRE(scene.lines.size() == 1);
  CHECK_THAT(scene.lines[0],
             Contains("HTTP/2\" 503 UR upstream_reset_before_response_started{remote_reset} "));
}

Task<void> client_resets(Http2Scene& scene) {
  scene.backend.stall = true;
  Client client(scene.open(kSniffed));
  auto call = client.ask(request_head("GET", "/"), true);
  co_await scene.backend.asked;
  call->close(Errc::closed);
  co_await scene.backend.was_cut;
  CHECK(scene.backend.cut == Errc::reset);
  call.reset();
  co_await client.leave();
  co_await wind_up(scene);
  REQUIRE(scene.lines.size() == 1);
  CHECK_THAT(scene.lines[0], Contains(" 0 DC downstream_remote_disconnect "));
}

Task<void> websocket(Scene& scene, Headers more) {
  Client client(scene.open(kHttp1));
  Headers head{{":method", "CONNECT"}, {":protocol", "websocket"}, {":scheme", "http"},
               {":authority", "a"},    {":path", "/chat"},         {"sec-websocket-version", "13"}};
  head.insert(head.end(), more.begin(), more.end());
  auto call = client.ask(head, false);
  Status arrived = co_await call->headers();
  CHECK(arrived);
  CHECK(hbone::find(call->head(), ":status") == "200");
  CHECK_FALSE(hbone::find(call->head(), "sec-websocket-accept"));
  Status sent = co_await test::send_text(*call, "hi");
  CHECK(sent);
  std::string got;
  co_await test::read_n(*call, 3, got);
  CHECK(got == "bye");
  call->finish();
  co_await test::read_all(*call, got);
  call.reset();
  co_await client.leave();
  co_await wind_up(scene);
}

}  // namespace

TEST_CASE("gRPC passes end to end with trailers both ways, and calls share one upstream connection") {
  std::string authority = GENERATE(std::string(kSniffed), std::string(kGrpc));
  Loop loop;
  Http2Scene scene;
  test::run(loop, grpc_call(scene, authority));
}

TEST_CASE("fifty calls at once share one dial, and trailers without a body stay trailers") {
  Loop loop;
  Http2Scene scene;
  test::run(loop, bodyless_calls(scene));
}

TEST_CASE("an HTTP/2 request reaches an HTTP/1.1 upstream in chunks, and its trailers come back") {
  Loop loop;
  Scene scene({{"4\r\nping\r\n0\r\n\r\n",
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\npong\r\n0\r\nx-sum: 9\r\n\r\n"}});
  test::run(loop, to_http1(scene));
  CHECK_THAT(scene.upstream.seen, Catch::StartsWith("POST /up HTTP/1.1\r\nhost: a\r\n"));
  CHECK_THAT(scene.upstream.seen, Contains("cookie: a=1; b=2\r\n"));
}

TEST_CASE("an HTTP/1.1 request to a gRPC port is sent as HTTP/2") {
  Loop loop;
  Http2Scene scene;
  test::run(loop, from_http1(scene));
}

TEST_CASE("a stream that the upstream resets before its response is answered 503 remote reset") {
  Loop loop;
  Http2Scene scene;
  test::run(loop, upstream_resets(scene));
}

TEST_CASE("a client that resets its stream cancels the upstream's") {
  Loop loop;
  Http2Scene scene;
  test::run(loop, client_resets(scene));
}

TEST_CASE("a WebSocket over HTTP/2 reaches an HTTP/1.1 upstream as an upgrade") {
  Headers more = GENERATE(Headers{}, Headers{{"content-length", "2"}});
  Loop loop;
  Scene scene({{"\r\n\r\n",
                "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: "
                "websocket\r\nsec-websocket-accept: x\r\n\r\n"},
               {"hi", "bye"},
               {"", "."}});
  test::run(loop, websocket(scene, more));
  CHECK_THAT(scene.upstream.seen, Catch::StartsWith("GET /chat HTTP/1.1\r\n"));
  CHECK_THAT(scene.upstream.seen, Contains("sec-websocket-key: "));
  CHECK_THAT(scene.upstream.seen, Contains("upgrade: websocket\r\n"));
  CHECK_THAT(scene.upstream.seen, !Contains("content-length"));
}
