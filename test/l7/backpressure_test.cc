// SPDX-License-Identifier: Apache-2.0
// Bodies are never gathered in the proxy: a side that does not read stops the other one's sender.
#include "test/support/catch.h"
#include "test/support/http_script.h"
#include "test/support/run.h"

using namespace ambientd;
using test::Scene;

namespace {

constexpr size_t kBody = 32 << 20;
constexpr size_t kInFlight = 4 << 20;  // what four socket buffers and nothing else may hold

// Sends a response of kBody bytes and counts how many of them were taken.
Task<void> pour(std::unique_ptr<TcpStream> stream, size_t* taken, Event* full, Event* over) {
  std::string head;
  bool asked = co_await test::read_until(*stream, "\r\n\r\n", head);
  CHECK(asked);
  Status sent = co_await test::send_text(
      *stream, "HTTP/1.1 200 OK\r\ncontent-length: " + std::to_string(kBody) + "\r\n\r\n");
  CHECK(sent);
  std::string part(64 << 10, 'x');
  while (*taken < kBody) {
    iovec piece{part.data(), std::min(part.size(), kBody - *taken)};
    Stream::WriteAwaiter write = stream->write({&piece, 1});
    bool fits = write.await_ready();
    if (!fits) full->set();
    Result<size_t> n{0};
    if (fits) n = write.await_resume();
    if (!fits) n = co_await stream->write({&piece, 1});
    if (!n) co_return;
    *taken += *n;
  }
  std::string rest;
  co_await test::read_all(*stream, rest);
  over->set();
}

Task<void> slow_reader(Scene& scene, size_t& taken, Event& full, Event& over) {
  std::unique_ptr<TcpStream> client = scene.open("10.96.0.10:80");
  Status sent = co_await test::send_text(*client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK(sent);
  co_await full;
  CHECK(taken < kInFlight);
  std::string got;
  bool head = co_await test::read_until(*client, "\r\n\r\n", got);
  CHECK(head);
  size_t begun = got.size() - got.find("\r\n\r\n") - 4;
  std::string body;
  co_await test::read_n(*client, kBody - begun, body);
  CHECK(body.size() == kBody - begun);
  client->finish();
  co_await scene.idle;
  scene.worker.upstreams.drain();
  co_await over;
}

}  // namespace

TEST_CASE("a client that does not read stops the upstream, and gets all of the body in the end") {
  Loop loop;
  Scene scene({});
  size_t taken = 0;
  Event full("upstream cannot write"), over("upstream");
  scene.connector.serve = [&](std::unique_ptr<TcpStream> stream) {
    return pour(std::move(stream), &taken, &full, &over);
  };
  test::run(loop, slow_reader(scene, taken, full, over));
  CHECK(taken == kBody);
}
