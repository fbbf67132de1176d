// SPDX-License-Identifier: Apache-2.0
#include "hbone/pool.h"

#include <list>
#include <map>

#include "core/deadline.h"
#include "core/tls.h"
#include "core/tls_stream.h"
#include "hbone/tunnel.h"
#include "test/support/catch.h"
#include "test/support/mint.h"
#include "test/support/run.h"
#include "test/support/stream_pair.h"

using namespace ambientd;
using namespace ambientd::hbone;
using namespace ambientd::test;

namespace {

WorkloadCertificatePtr certificate_of(const LocalCa& ca, const std::string& sa) {
  Result<Issued> issued = ca.issue(workload(sa), std::chrono::hours(1), std::chrono::system_clock::now());
  REQUIRE(issued);
  Result<WorkloadCertificatePtr> made = make_workload_certificate(workload(sa), *issued);
  REQUIRE(made);
  return *made;
}

Task<void> answer(std::unique_ptr<Exchange> exchange) {
  bool refused = find(exchange->head(), ":authority") == "10.0.0.1:401";
  Status answered = exchange->respond({{":status", refused ? "401" : "200"}}, refused);
  CHECK(answered);
  uint64_t bytes = 0;
  if (refused) co_return;
  Status pumped = co_await pump(*exchange, *exchange, bytes);
}

// An HBONE server on loopback that echoes.
class Server {
 public:
  Server(WorkloadCertificatePtr certificate, Limits limits)
      : certificate_(std::move(certificate)), limits_(limits) {
    Result<Fd> fd = tcp_socket(false, 0);
    REQUIRE(fd);
    REQUIRE(listen_on(fd->get(), *SockAddr::parse("127.0.0.1:0"), 128));
    at = *local_address(fd->get());
    acceptor_ = std::make_unique<Acceptor>(std::move(*fd), [this](Fd accepted) {
      ++connections;
      Loop::current().spawn("server", serve(std::move(accepted)));
    });
  }
  void stop() { acceptor_.reset(); }

  SockAddr at;
  int connections = 0;
  std::vector<std::string> clients;

 private:
  Task<void> serve(Fd fd) {
    Scope scope;
    SslPtr ssl(SSL_new(certificate_->server.get()));
    SSL_set_accept_state(ssl.get());
    Result<std::unique_ptr<TlsStream>> tls =
        co_await TlsStream::handshake(std::move(fd), std::move(ssl), scope);
    if (!tls) co_return;
    clients.push_back(peer_check((*tls)->ssl()).identity->uri());
    Session session(Session::Role::server, **tls, limits_, [](std::unique_ptr<Exchange> e) {
      Loop::current().spawn("answer", answer(std::move(e)));
    });
    Status ended = co_await session.run();
  }
  WorkloadCertificatePtr certificate_;
  Limits limits_;
  std::unique_ptr<Acceptor> acceptor_;
};

struct TestDialer final : Dialer {
  Result<Fd> socket(bool v6) override {
    ++sockets;
    return tcp_socket(v6, 0);
  }
  Task<Result<WorkloadCertificatePtr>> certificate(Identity identity, Scope&) override {
    auto found = certificates.find(identity);
    if (found == certificates.end()) co_return fail(Errc::identity, "no certificate");
    co_return found->second;
  }
  std::map<Identity, WorkloadCertificatePtr> certificates;
  int sockets = 0;
};

struct Fixture {
  explicit Fixture(Limits server_limits = {}, PoolLimits limits = {})
      : server(certificate_of(ca, "server"), server_limits), pool(limits) {
    dialer.certificates[workload("client")] = certificate_of(ca, "client");
    dialer.certificates[workload("other")] = certificate_of(ca, "other");
  }
  PoolKey key(const std::string& source = "client", const std::string& peer = "server") {
    return {workload(source), {workload(peer)}, server.at, Ip::loopback(false)};
  }
  Task<void> end() {
    pool.drain();
    server.stop();
    co_await pool.until_empty();
  }
  LocalCa ca = new_root();
  Server server;
  TestDialer dialer;
  Pool pool;
};

using Tunnel = Result<std::unique_ptr<Exchange>>;

Task<void> echo_once(Fixture& f, PoolKey key, std::string text) {
  Scope scope;
  Tunnel tunnel = co_await open_tunnel(f.pool, key, f.dialer, {"10.0.0.1:80", {}, {}, {}, {}}, scope);
  REQUIRE(tunnel);
  std::string got;
  Task<void> sending = send_and_finish(**tunnel, text);
  sending.start();
  co_await read_all(**tunnel, got);
  co_await sending;
  CHECK((got == text));
}

Task<void> burst() {
  Fixture f;
  std::list<Task<void>> echoes;
  for (uint32_t i = 0; i < 90; ++i) {
    echoes.push_back(echo_once(f, f.key(), pattern(100'000, i)));
    echoes.back().start();
  }
  for (Task<void>& each : echoes) co_await each;
  CHECK(f.server.connections == 1);
  CHECK(f.server.clients == std::vector<std::string>{"spiffe://cluster.local/ns/default/sa/client"});
  co_await f.end();
}

Task<void> never_shared() {
  Fixture f;
  co_await echo_once(f, f.key("client"), "a");
  co_await echo_once(f, f.key("other"), "b");
  co_await echo_once(f, f.key("client"), "c");
  CHECK(f.server.connections == 2);
  co_await f.end();
}

Task<void> spread_when_full() {
  PoolLimits limits;
  limits.max_streams = 10;
  Fixture f({}, limits);
  Scope scope;
  std::list<Tunnel> held;
  for (int i = 0; i < 25; ++i) {
    Tunnel tunnel = co_await open_tunnel(f.pool, f.key(), f.dialer, {"10.0.0.1:80", {}, {}, {}, {}}, scope);
    REQUIRE(tunnel);
    held.push_back(std::move(tunnel));
  }
  CHECK(f.server.connections == 3);
  held.clear();
  for (int i = 0; i < 20; ++i) {
    Tunnel tunnel = co_await open_tunnel(f.pool, f.key(), f.dialer, {"10.0.0.1:80", {}, {}, {}, {}}, scope);
    held.push_back(std::move(tunnel));
  }
  CHECK(f.server.connections == 3);
  held.clear();
  co_await f.end();
}

// Who waits holds no headers: they are written once there is a connection, and not for a call that was given
// up.
Task<void> written_late() {
  Fixture f;
  int written = 0;
  WriteHeaders write = [&written] {
    ++written;
    return Connect{.authority = "10.0.0.1:80"}.headers();
  };
  Scope scope, given_up;
  Task<Tunnel> first = open_tunnel(f.pool, f.key(), f.dialer, write, scope);
  Task<Tunnel> second = open_tunnel(f.pool, f.key(), f.dialer, write, given_up);
  first.start();
  second.start();
  CHECK(written == 0);
  given_up.close({Errc::timed_out, "too late"});
  Tunnel none = co_await second;
  REQUIRE_FALSE(none);
  CHECK(none.error().detail == "too late");
  Tunnel tunnel = co_await first;
  REQUIRE(tunnel);
  CHECK(written == 1);
  tunnel->reset();
  co_await f.end();
  CHECK(f.pool.empty());
}

// It asked for its key's connections, and that alone must not keep their entry.
Task<void> nobody_left() {
  Fixture f;
  {
    Scope scope;
    Connect connect{.authority = "10.0.0.1:80"};
    Task<Tunnel> only = open_tunnel(f.pool, f.key(), f.dialer, connect, scope);
    scope.close({Errc::closed, "changed our mind"});
    Tunnel tunnel = co_await only;
    CHECK_FALSE(tunnel);
  }
  CHECK(f.pool.empty());
  co_await f.end();
}

Task<void> expect_failure(Fixture& f, PoolKey key, Errc& code, std::string& detail) {
  Scope scope;
  Tunnel tunnel = co_await open_tunnel(f.pool, key, f.dialer, {"10.0.0.1:80", {}, {}, {}, {}}, scope);
  REQUIRE_FALSE(tunnel);
  code = tunnel.error().code;
  detail = tunnel.error().detail;
}

Task<void> failed_dial() {
  Fixture f;
  PoolKey key = f.key();
  key.to.port = 1;
  std::list<Task<void>> all;
  std::list<std::pair<Errc, std::string>> errors;
  for (int i = 0; i < 20; ++i) {
    errors.emplace_back();
    all.push_back(expect_failure(f, key, errors.back().first, errors.back().second));
    all.back().start();
  }
  for (Task<void>& each : all) co_await each;
  for (const auto& [code, detail] : errors) CHECK(code == Errc::connect_refused);
  CHECK(f.dialer.sockets == 1);
  CHECK(f.pool.empty());
  co_await f.end();
}

Task<void> wrong_peer() {
  Fixture f;
  Errc code{};
  std::string detail;
  co_await expect_failure(f, f.key("client", "somebody-else"), code, detail);
  CHECK(code == Errc::identity);
  CHECK(detail.find("identity verification error: peer did not present the expected SAN "
                    "(spiffe://cluster.local/ns/default/sa/somebody-else)") != std::string::npos);
  co_await f.end();
}

Task<void> refused_tunnel() {
  Fixture f;
  Scope scope;
  int status = 0;
  Tunnel tunnel =
      co_await open_tunnel(f.pool, f.key(), f.dialer, {"10.0.0.1:401", {}, {}, {}, {}}, scope, &status);
  REQUIRE_FALSE(tunnel);
  CHECK(tunnel.error().detail == "http status: 401 Unauthorized");
  CHECK(status == 401);
  co_await echo_once(f, f.key(), "the connection lives on");
  CHECK(f.server.connections == 1);
  co_await f.end();
}

// A server that accepts and never answers: the deadline ends the wait, for everybody at once.
Task<void> silent_peer() {
  PoolLimits limits;
  limits.connect_ms = 60;
  Fixture f({}, limits);
  Result<Fd> silent = tcp_socket(false, 0);
  REQUIRE(silent);
  REQUIRE(listen_on(silent->get(), *SockAddr::parse("127.0.0.1:0"), 16));
  PoolKey key = f.key();
  key.to = *local_address(silent->get());
  Errc code{};
  std::string detail;
  co_await expect_failure(f, key, code, detail);
  CHECK(code == Errc::hbone_timed_out);
  CHECK(detail.starts_with("connection timed out, maybe a NetworkPolicy is blocking HBONE port"));
  co_await f.end();
}

// Closing does not wait for the dial's deadline.
Task<void> closed_while_dialling() {
  Fixture f;
  Result<Fd> silent = tcp_socket(false, 0);
  REQUIRE(silent);
  REQUIRE(listen_on(silent->get(), *SockAddr::parse("127.0.0.1:0"), 16));
  co_await echo_once(f, f.key(), "an open connection, too");
  PoolKey key = f.key();
  key.to = *local_address(silent->get());
  Errc code{};
  std::string detail;
  Task<void> waits = expect_failure(f, key, code, detail);
  waits.start();
  uint64_t before = Loop::current().now_ms();
  f.pool.close();
  co_await waits;
  CHECK(code == Errc::draining);
  co_await f.end();
  CHECK(Loop::current().now_ms() - before < 5000);
}

Task<void> roots_change() {
  Fixture f;
  co_await echo_once(f, f.key(), "before");
  f.pool.reconsider(*f.dialer.certificates[workload("client")]);
  co_await echo_once(f, f.key(), "same root");
  CHECK(f.server.connections == 1);
  f.pool.reconsider(*certificate_of(new_root(), "client"));
  co_await echo_once(f, f.key(), "after");
  CHECK(f.server.connections == 2);
  co_await f.end();
}

Task<void> released_when_unused() {
  PoolLimits limits;
  limits.release_ms = 50;
  Fixture f({}, limits);
  co_await echo_once(f, f.key(), "a");
  co_await f.pool.until_empty();
  co_await echo_once(f, f.key(), "b");
  CHECK(f.server.connections == 2);
  co_await f.end();
}

// What counts is the time since the last tunnel, not since the dial.
Task<void> kept_while_used() {
  PoolLimits limits;
  limits.release_ms = 200;
  Fixture f({}, limits);
  uint64_t start = Loop::current().now_ms();
  while (Loop::current().now_ms() - start < 700) {
    co_await echo_once(f, f.key(), "now and then");
    co_await Sleep(50);
  }
  CHECK(f.server.connections == 1);
  co_await f.pool.until_empty();
  co_await f.end();
}

}  // namespace

TEST_CASE("a request is written when there is a connection for it, and not before") {
  Loop loop;
  run(loop, written_late());
}

TEST_CASE("a pool keeps nothing for a call that was given up before it waited") {
  Loop loop;
  run(loop, nobody_left());
}

TEST_CASE("a burst to one peer dials once and shares the connection") {
  Loop loop;
  run(loop, burst());
}
TEST_CASE("two source identities never share a connection") {
  Loop loop;
  run(loop, never_shared());
}
TEST_CASE("tunnels spread when a connection is full, and a freed place is used again") {
  Loop loop;
  run(loop, spread_when_full());
}
TEST_CASE("when a dial fails nobody is left waiting and nobody dials again") {
  Loop loop;
  run(loop, failed_dial());
}
TEST_CASE("a peer that is not the one expected is refused") {
  Loop loop;
  run(loop, wrong_peer());
}
TEST_CASE("a refused tunnel names the status and leaves the connection alone") {
  Loop loop;
  run(loop, refused_tunnel());
}
TEST_CASE("a peer that never shakes hands is given up by the deadline") {
  Loop loop;
  run(loop, silent_peer());
}
TEST_CASE("a pool that is closed ends its connections and dials at once") {
  Loop loop;
  run(loop, closed_while_dialling());
}
TEST_CASE("a removed root drains the connections it had verified") {
  Loop loop;
  run(loop, roots_change());
}
TEST_CASE("an unused connection is released") {
  Loop loop;
  run(loop, released_when_unused());
}
TEST_CASE("a connection that is used now and then is kept") {
  Loop loop;
  run(loop, kept_while_used());
}
