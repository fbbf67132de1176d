// SPDX-License-Identifier: Apache-2.0
#include "core/relay.h"

#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <thread>

#include "core/loop.h"
#include "core/tcp_stream.h"
#include "test/support/catch.h"
#include "test/support/run.h"

using namespace ambientd;

namespace {

struct Pair {
  Pair() {
    int fds[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    near = std::make_unique<TcpStream>(Fd(fds[0]));
    far = std::make_unique<TcpStream>(Fd(fds[1]));
  }
  std::unique_ptr<TcpStream> near, far;
};

Task<void> read_until_eof(Stream& from, std::string& into) {
  for (;;) {
    Result<Chunk> chunk = co_await from.read();
    if (!chunk || chunk->eof) co_return;
    for (const iovec& piece : chunk->data) into.append(static_cast<char*>(piece.iov_base), piece.iov_len);
    from.consume(total(chunk->data));
  }
}

Task<void> send(Stream& to, std::string text) {
  Status sent = co_await write_all(to, {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  CHECK(sent);
  to.finish();
}

Task<void> both_ways() {
  Pair app, peer;
  std::string up(3 << 20, 'u'), down(5 << 20, 'd'), got_up, got_down;
  for (size_t i = 0; i < up.size(); i += 997) up[i] = static_cast<char>(i);
  Task<void> sends_up = send(*app.near, up), sends_down = send(*peer.far, down);
  Task<void> reads_up = read_until_eof(*peer.far, got_up), reads_down = read_until_eof(*app.near, got_down);
  sends_up.start();
  sends_down.start();
  reads_up.start();
  reads_down.start();
  Relayed bytes;
  Status status = co_await relay(*app.far, *peer.near, bytes);
  CHECK(status);
  co_await reads_up;
  co_await reads_down;
  CHECK(got_up == up);
  CHECK(got_down == down);
  CHECK(bytes.a_to_b == up.size());
  CHECK(bytes.b_to_a == down.size());
}

Task<void> half_close() {
  Pair app, peer;
  Relayed bytes;
  Task<Status> relayed = relay(*app.far, *peer.near, bytes);
  relayed.start();
  app.near->finish();
  std::string nothing, answer;
  co_await read_until_eof(*peer.far, nothing);
  CHECK_FALSE(relayed.finished());
  co_await send(*peer.far, "late answer");
  co_await read_until_eof(*app.near, answer);
  CHECK(answer == "late answer");
  Status status = co_await relayed;
  CHECK(status);
}

Task<void> closed_by_scope() {
  Pair app, peer;
  Scope scope;
  scope.add(*app.far);
  scope.add(*peer.near);
  Relayed bytes;
  Task<Status> relayed = relay(*app.far, *peer.near, bytes);
  relayed.start();
  scope.close({Errc::policy_changed, "policy"});
  Status status = co_await relayed;
  REQUIRE_FALSE(status);
  CHECK(status.error().code == Errc::policy_changed);
}

Task<void> refused() {
  Scope scope;
  Result<Fd> socket = tcp_socket(false, 0);
  REQUIRE(socket);
  Result<Fd> connected = co_await connect(std::move(*socket), *SockAddr::parse("127.0.0.1:1"), scope);
  REQUIRE_FALSE(connected);
  CHECK(connected.error().code == Errc::connect_refused);
  CHECK(connected.error().detail == "connect 127.0.0.1:1: Connection refused (os error 111)");
}

Task<void> accept_and_connect() {
  Result<Fd> listening = tcp_socket(false, 0);
  REQUIRE(listen_on(listening->get(), *SockAddr::parse("127.0.0.1:0"), 16));
  SockAddr at = *local_address(listening->get());
  std::unique_ptr<TcpStream> server;
  Event accepted("test");
  SockAddr caller;
  Acceptor acceptor(std::move(*listening), [&](Fd fd, const SockAddr& peer) {
    caller = peer;
    server = std::make_unique<TcpStream>(std::move(fd));
    accepted.set();
  });
  Scope scope;
  Result<Fd> socket = tcp_socket(false, 0);
  Result<Fd> connected = co_await connect(std::move(*socket), at, scope);
  REQUIRE(connected);
  TcpStream client(std::move(*connected));
  co_await accepted;
  CHECK(caller == local_address(client.fd()));
  co_await send(client, "hello");
  std::string got;
  co_await read_until_eof(*server, got);
  CHECK(got == "hello");
  client.close(Errc::reset);
}

Task<void> posted_from_another_thread(Loop& loop) {
  Event arrived("test");
  std::thread other([&] { loop.post([&] { arrived.set(); }); });
  co_await arrived;
  other.join();
  co_await Sleep(20);
}

}  // namespace

TEST_CASE("relay carries megabytes both ways unharmed") {
  Loop loop;
  test::run(loop, both_ways());
}

TEST_CASE("relay passes half-close through") {
  Loop loop;
  test::run(loop, half_close());
}

TEST_CASE("closing a scope ends the story that waits in it, with the scope's reason") {
  Loop loop;
  test::run(loop, closed_by_scope());
}

TEST_CASE("a refused connection says who refused") {
  Loop loop;
  test::run(loop, refused());
}

TEST_CASE("an acceptor hands raw descriptors on") {
  Loop loop;
  test::run(loop, accept_and_connect());
}

TEST_CASE("work posted from another thread runs on the loop") {
  Loop loop;
  test::run(loop, posted_from_another_thread(loop));
}
