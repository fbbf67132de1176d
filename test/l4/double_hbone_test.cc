// SPDX-License-Identifier: Apache-2.0
#include "l4/double_hbone.h"

#include <openssl/ssl.h>

#include "core/tls.h"
#include "core/tls_stream.h"
#include "l4/failover.h"
#include "test/l4/calls.h"
#include "test/support/run.h"
#include "test/support/stream_pair.h"

using namespace ambientd;
using namespace ambientd::l4;
using namespace ambientd::l4::test;

namespace {

constexpr const char* kGateway = "127.0.0.3";

// An east-west gateway: what arrives in a tunnel goes, still encrypted, to the server's HBONE port.
class NetworkGateway {
 public:
  NetworkGateway(TwoZtunnels& both, int status)
      : both_(both), status_(status), listener_(kGateway, [this](Fd fd) {
          ++connections;
          Loop::current().spawn("gateway", serve(std::move(fd)));
        }) {}
  SockAddr at() const { return listener_.at; }

  int connections = 0;
  std::vector<hbone::Headers> heads;

 private:
  Task<void> serve(Fd fd) {
    Result<Issued> issued = both_.ca.issue(ambientd::test::workload("gateway"), std::chrono::hours(1),
                                           std::chrono::system_clock::now());
    Result<WorkloadCertificatePtr> mine =
        make_workload_certificate(ambientd::test::workload("gateway"), *issued);
    SslPtr ssl(SSL_new((*mine)->server.get()));
    SSL_set_accept_state(ssl.get());
    Scope scope;
    Result<std::unique_ptr<TlsStream>> tls =
        co_await TlsStream::handshake(std::move(fd), std::move(ssl), scope);
    if (!tls) co_return;
    hbone::Session session(hbone::Session::Role::server, **tls, {},
                           [this](std::unique_ptr<hbone::Exchange> e) {
                             heads.push_back(e->head());
                             Loop::current().spawn("passing", pass(std::move(e)));
                           });
    Status ended = co_await session.run();
  }
  Task<void> pass(std::unique_ptr<hbone::Exchange> exchange) {
    Status answered = exchange->respond({{":status", std::to_string(status_)}}, status_ != 200);
    if (status_ != 200 || !answered) co_return;
    Result<Fd> fd = tcp_socket(false, 0);
    Scope scope;
    Result<Fd> to = co_await connect(std::move(*fd), both_.hbone->at, scope);
    if (!to) co_return;
    TcpStream server(std::move(*to));
    Relayed bytes;
    Status relayed = co_await relay(*exchange, server, bytes);
  }

  TwoZtunnels& both_;
  int status_;
  Listener listener_;
};

// echo is on network `far`; the ztunnel that serves it does not care.
struct World {
  explicit World(int status = 200) : gateway(both, status), app(TwoZtunnels::kServer, serve_echo) {
    config::Workload& server = both.mesh.workloads[1];
    server.network = "far";
    server.services["default/" + host("echo")] = {{80, app.at.port}};
    server.network_gateway =
        config::GatewayAddress{config::NetworkAddress{"far", *Ip::parse(kGateway)}, gateway.at().port};
    config::Workload there = workload("gateway", kGateway);
    there.network = "far";
    both.mesh.workloads.push_back(there);
    both.publish();
  }
  Captured call() const {
    Captured out{both.client->pods[0]->self, kFrom, *SockAddr::parse("10.1.0.2:80"), {}};
    Call asked{*out.self, out.from.ip, out.target};
    Result<Decision> decision = decide(*both.client->snapshot, rules_of(both.settings), asked, 0);
    REQUIRE(decision);
    REQUIRE(decision->protocol == Decision::Protocol::double_hbone);
    out.decision = *decision;
    return out;
  }

  TwoZtunnels both;
  NetworkGateway gateway;
  Listener app;
};

Task<void> three_calls(World& world) {
  for (uint32_t i = 0; i < 3; ++i) {
    std::string text = ambientd::test::pattern(700'000, i), answer;
    bool clean = false;
    co_await request(world.both, world.call(), text, answer, clean);
    CHECK((answer == text));
  }
  CHECK(world.both.client->pods[0]->pool.connections() == 2);
  co_await shut_down(world.both);
  CHECK(world.gateway.connections == 1);
  REQUIRE(world.gateway.heads.size() == 1);  // the inner connection is shared by all three
  const hbone::Headers& head = world.gateway.heads[0];
  CHECK(hbone::find(head, ":authority") == "echo.default.svc.cluster.local:80");
  CHECK(hbone::find(head, "forwarded") == "for=\"127.0.0.1\";host=echo.default.svc.cluster.local");
  CHECK_FALSE(hbone::find(head, "x-forwarded-network"));
  std::string out = world.both.ended("outbound");
  INFO(out);
  CHECK(has(out, "\tinfo\taccess\tconnection complete"));
  CHECK(has(out, "dst.addr=127.0.0.3:"));
  CHECK(has(out, "dst.hbone_addr=echo.default.svc.cluster.local:80"));
  CHECK(has(out, "dst.workload=\"echo\""));  // as the far end says in its baggage
  CHECK(has(out, "dst.identity=\"spiffe://cluster.local/ns/default/sa/echo\""));
  CHECK(has(world.both.ended("inbound"), "dst.hbone_addr=echo.default.svc.cluster.local:80"));
}

Task<void> fails(World& world, Captured call, std::string error) {
  std::string answer;
  bool clean = false;
  co_await request(world.both, std::move(call), "hello", answer, clean);
  co_await shut_down(world.both);
  CHECK(answer.empty());
  INFO(world.both.ended("outbound"));
  CHECK(has(world.both.ended("outbound"), error));
}

}  // namespace

TEST_CASE("calls to another network share one connection inside one tunnel through its gateway") {
  Loop loop;
  World world;
  ambientd::test::run(loop, three_calls(world));
}

TEST_CASE("behind a gateway only the expected peer is talked to") {
  Loop loop;
  World world;
  Captured call = world.call();
  call.decision.inner_peers = {ambientd::test::workload("somebody-else")};
  ambientd::test::run(
      loop, fails(world, call, "identity verification error: peer did not present the expected SAN"));
}

TEST_CASE("a gateway with another identity carries nothing") {
  Loop loop;
  World world;
  Captured call = world.call();
  call.decision.peers = {ambientd::test::workload("somebody-else")};
  ambientd::test::run(
      loop, fails(world, call, "identity verification error: peer did not present the expected SAN"));
  CHECK(world.gateway.heads.empty());
}

TEST_CASE("a gateway that has nobody to pass a tunnel to says so") {
  Loop loop;
  World world(503);
  ambientd::test::run(loop, fails(world, world.call(), "http status: 503 Service Unavailable"));
}
