// SPDX-License-Identifier: Apache-2.0
// HTTP/1.1 on both sides of the proxy, byte for byte.
#include "test/support/catch.h"
#include "test/support/http_script.h"
#include "test/support/run.h"

using namespace ambientd;
using Catch::Contains;
using Catch::StartsWith;
using test::Scene;

namespace {

constexpr auto kHttp = "10.96.0.10:80";
const std::string kOk = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const std::string kGet = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

}  // namespace

TEST_CASE("chunked bodies are framed anew in both directions") {
  Loop loop;
  Scene scene({{"0\r\n\r\n", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nfoo\r\n"},
               {"", "4;x=y\r\nbars\r\n0\r\n\r\n"}});
  test::run(loop,
            scene.play(kHttp,
                       {{"", "POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"},
                        {"", "3\r\ncde\r\n0\r\n\r\n"},
                        {"0\r\n\r\n", "."}}));
  CHECK_THAT(scene.upstream.seen, Contains("transfer-encoding: chunked\r\n"));
  CHECK_THAT(scene.upstream.seen, Catch::EndsWith("\r\n0\r\n\r\n"));
  CHECK_THAT(scene.client.seen, StartsWith("HTTP/1.1 200 OK\r\n"));
  CHECK_THAT(scene.client.seen, Contains("transfer-encoding: chunked\r\n"));
  CHECK(scene.client.seen.find("x=y") == std::string::npos);
  CHECK_THAT(scene.client.seen, Catch::EndsWith("\r\n0\r\n\r\n"));
}

TEST_CASE("trailers reach a client that asked for them, and no other") {
  bool asks = GENERATE(true, false);
  Loop loop;
  Scene scene({{"\r\n\r\n",
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx-sum: 7\r\n\r\n"}});
  std::string te = asks ? "TE: trailers\r\nConnection: TE\r\n" : "";
  test::run(loop, scene.play(kHttp, {{"", "GET / HTTP/1.1\r\nHost: a\r\n" + te + "\r\n"},
                                     {"\r\n\r\n2\r\nhi\r\n0\r\n", ""},
                                     {"\r\n", "."}}));
  CHECK((scene.client.seen.find("x-sum: 7\r\n") != std::string::npos) == asks);
}

TEST_CASE("100-continue is asked of the upstream, and its answer relayed before the body goes") {
  Loop loop;
  Scene scene({{"\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n"}, {"body!", kOk}});
  test::run(
      loop,
      scene.play(kHttp,
                 {{"", "PUT /f HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"},
                  {"100 Continue\r\n\r\n", "body!"},
                  {"ok", "."}}));
  CHECK_THAT(scene.upstream.seen, Contains("expect: 100-continue\r\n"));
  CHECK_THAT(scene.client.seen, Catch::EndsWith("ok"));
}

TEST_CASE("HEAD keeps the length it describes, and no body is waited for") {
  Loop loop;
  Scene scene({{"\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 4096\r\n\r\n"}, {"GET", kOk}});
  test::run(loop, scene.play(kHttp, {{"", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" + kGet},
                                     {"\r\n\r\nHTTP/1.1 200", ""},
                                     {"ok", "."}}));
  CHECK_THAT(scene.client.seen, Contains("content-length: 4096\r\n"));
  CHECK(scene.upstream.connections == 1);
}

TEST_CASE("a response that ends with its connection is sent on in chunks, and the client's stays") {
  Loop loop;
  Scene scene({{"\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\nuntil the end"}, {"", "."}});
  test::run(loop, scene.play(kHttp, {{"", kGet}, {"0\r\n\r\n", kGet}, {"0\r\n\r\n", "."}}));
  CHECK(scene.upstream.connections == 2);
  CHECK_THAT(scene.client.seen, Contains("d\r\nuntil the end\r\n"));
}

TEST_CASE("connection: close of the client is honoured, and the upstream connection kept") {
  Loop loop;
  Scene scene({{"\r\n\r\n", kOk}});
  test::run(loop,
            scene.play(kHttp, {{"", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"}, {"ok", ""}}));
  CHECK(scene.client.over.is_set());
  CHECK_THAT(scene.client.seen, Contains("connection: close\r\n"));
  CHECK(scene.upstream.seen.find("connection:") == std::string::npos);
  CHECK(scene.kept == 1);
}

TEST_CASE("a WebSocket is upgraded by the upstream's 101 and carries bytes both ways after it") {
  Loop loop;
  Scene scene({{"\r\n\r\n",
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nwelcome"},
               {"\x81\x02hi", "bye"},
               {"", "."}});
  test::run(
      loop,
      scene.play(kHttp, {{"",
                          "GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"},
                         {"welcome", "\x81\x02hi"},
                         {"bye", "."}}));
  CHECK_THAT(scene.upstream.seen, Contains("upgrade: websocket\r\n"));
  CHECK_THAT(scene.upstream.seen, Contains("sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"));
  CHECK_THAT(scene.client.seen, StartsWith("HTTP/1.1 101 Switching Protocols\r\n"));
  CHECK_THAT(scene.client.seen, Contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
  CHECK(scene.lines.size() == 1);
}

TEST_CASE("an upgrade that the upstream answers with 200 is a response, not a tunnel") {
  Loop loop;
  Scene scene({{"\r\n\r\n", kOk}, {"GET", kOk}});
  test::run(
      loop,
      scene.play(
          kHttp,
          {{"", "GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n" + kGet},
           {"ok", ""},
           {"ok", "."}}));
  CHECK(scene.lines.size() == 2);
}

TEST_CASE("an upgrade to something else is refused, and the connection goes on") {
  Loop loop;
  Scene scene({{"\r\n\r\n", kOk}});
  test::run(
      loop,
      scene.play(kHttp, {{"", "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: tls/1.2\r\nConnection: Upgrade\r\n\r\n"},
                         {"HTTP/1.1 403 Forbidden\r\n", "."}}));
  CHECK(scene.connector.dialled.empty());
}

TEST_CASE("an answer that comes before the whole request ends the exchange, and no byte of it is lost") {
  Loop loop;
  Scene scene({{"\r\n\r\n", "HTTP/1.1 413 Payload Too Large\r\ncontent-length: 3\r\n\r\nbig"}});
  test::run(loop,
            scene.play(kHttp, {{"", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nonly this"},
                               {"big", std::string(91, 'x') + kGet},
                               {"big", "."}}));
  CHECK_THAT(scene.client.seen, StartsWith("HTTP/1.1 413 Payload Too Large\r\n"));
  CHECK(scene.kept <= 1);
  CHECK(scene.upstream.connections == 2);
}

TEST_CASE("when the client goes away the upstream is told at once") {
  std::string upgrade = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
  std::string request = GENERATE_COPY(std::string(kGet), std::string(upgrade));
  Loop loop;
  Scene scene({{"\r\n\r\n", ""}});
  test::run(loop, scene.play(kHttp, {{"", request}, {"", "!"}}));
  REQUIRE(scene.lines.size() == 1);
  CHECK_THAT(scene.lines[0], Contains(" 0 DC downstream_remote_disconnect "));
}

TEST_CASE("a client that sends what is no chunk gets 400, and the upstream no end that looks complete") {
  Loop loop;
  Scene scene({{"ab", ""}});
  test::run(
      loop,
      scene.play(kHttp, {{"", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"},
                         {"", "zz\r\n"},
                         {"HTTP/1.1 400 Bad Request\r\n", ""}}));
  CHECK(scene.upstream.seen.find("0\r\n\r\n") == std::string::npos);
}
