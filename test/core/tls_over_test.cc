// SPDX-License-Identifier: Apache-2.0
#include "core/tls_over.h"

#include <openssl/ssl.h>

#include "core/tls.h"
#include "test/support/catch.h"
#include "test/support/mint.h"
#include "test/support/run.h"
#include "test/support/stream_pair.h"

using namespace ambientd;
using namespace ambientd::test;

namespace {

struct World {
  LocalCa ca = new_root();
  WorkloadCertificatePtr client = of("client"), server = of("server");

  WorkloadCertificatePtr of(const std::string& sa) const {
    Result<Issued> issued = ca.issue(workload(sa), std::chrono::hours(1), std::chrono::system_clock::now());
    REQUIRE(issued);
    Result<WorkloadCertificatePtr> made = make_workload_certificate(workload(sa), *issued);
    REQUIRE(made);
    return *made;
  }
};

using Over = Result<std::unique_ptr<TlsOver>>;

Task<Over> accept(World& world, std::unique_ptr<Stream> carrier, Scope& scope) {
  SslPtr ssl(SSL_new(world.server->server.get()));
  SSL_set_accept_state(ssl.get());
  co_return co_await TlsOver::handshake(std::move(carrier), std::move(ssl), scope);
}

Task<Over> dial(World& world, std::unique_ptr<Stream> carrier, std::string expected, Scope& scope) {
  SslPtr ssl(SSL_new(world.client->client.get()));
  SSL_set_connect_state(ssl.get());
  expect_peers(ssl.get(), {workload(expected)});
  co_return co_await TlsOver::handshake(std::move(carrier), std::move(ssl), scope);
}

Task<void> both_ways(size_t size) {
  World world;
  StreamPair wire;
  Scope scope;
  Task<Over> accepting = accept(world, std::move(wire.far), scope);
  accepting.start();
  Over near = co_await dial(world, std::move(wire.near), "server", scope);
  Over far = co_await accepting;
  REQUIRE(near);
  REQUIRE(far);
  CHECK(peer_check((*near)->ssl()).identity == workload("server"));
  CHECK(peer_check((*far)->ssl()).identity == workload("client"));
  std::string up = pattern(size, 1), down = pattern(size, 2), got_up, got_down;
  Task<void> sends_up = send_and_finish(**near, up), sends_down = send_and_finish(**far, down);
  Task<void> reads_up = read_all(**far, got_up);
  sends_up.start();
  sends_down.start();
  reads_up.start();
  co_await read_all(**near, got_down);
  co_await reads_up;
  co_await sends_up;
  co_await sends_down;
  CHECK((got_up == up));
  CHECK((got_down == down));
}

Task<void> wrong_peer() {
  World world;
  StreamPair wire;
  Scope scope;
  Task<Over> accepting = accept(world, std::move(wire.far), scope);
  accepting.start();
  Over near = co_await dial(world, std::move(wire.near), "somebody-else", scope);
  REQUIRE_FALSE(near);
  CHECK(near.error().code == Errc::identity);
  Over far = co_await accepting;
  CHECK_FALSE(far);
}

Task<void> cut(bool by_carrier) {
  World world;
  StreamPair wire;
  Scope scope;
  Task<Over> accepting = accept(world, std::move(wire.far), scope);
  accepting.start();
  Over near = co_await dial(world, std::move(wire.near), "server", scope);
  Over far = co_await accepting;
  REQUIRE(near);
  REQUIRE(far);
  if (by_carrier) {
    far->reset();  // without a close_notify
  } else {
    scope.close({Errc::draining, "drain"});
  }
  Result<Chunk> chunk = co_await (*near)->read();
  REQUIRE_FALSE(chunk);
  CHECK(chunk.error().code == (by_carrier ? Errc::eof : Errc::draining));
}

Task<void> silent_peer() {
  World world;
  StreamPair wire;
  Scope scope;
  Task<Over> dialling = dial(world, std::move(wire.near), "server", scope);
  dialling.start();
  CHECK_FALSE(dialling.finished());
  scope.close({Errc::timed_out, "too slow"});
  Over near = co_await dialling;
  REQUIRE_FALSE(near);
  CHECK(near.error().detail == "too slow");
}

}  // namespace

TEST_CASE("TLS over a stream carries bytes both ways, with both ends") {
  Loop loop;
  run(loop, both_ways(100));
}

TEST_CASE("TLS over a stream waits where its carrier does") {
  Loop loop;
  run(loop, both_ways(5 << 20));
}

TEST_CASE("TLS over a stream refuses a peer with another identity, and both ends learn it") {
  Loop loop;
  run(loop, wrong_peer());
}

TEST_CASE("TLS over a stream ends with its carrier, and says so when that was without a goodbye") {
  Loop loop;
  run(loop, cut(true));
}

TEST_CASE("closing TLS over a stream resolves its waits") {
  Loop loop;
  run(loop, cut(false));
}

TEST_CASE("a handshake over a stream ends with its scope") {
  Loop loop;
  run(loop, silent_peer());
}
