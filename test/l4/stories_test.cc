// SPDX-License-Identifier: Apache-2.0
#include "core/text.h"
#include "test/l4/calls.h"
#include "test/support/run.h"
#include "test/support/stream_pair.h"

using namespace ambientd;
using namespace ambientd::l4;
using namespace ambientd::l4::test;

namespace {

Task<void> first_connection(TwoZtunnels& both) {
  Listener app(TwoZtunnels::kServer, serve_echo);
  std::string text(3 << 20, 'x'), answer;
  bool clean = false;
  co_await request(both, both.call_to(app.at.port, kFrom), text, answer, clean);
  co_await until_idle(both);
  CHECK(clean);
  CHECK(answer == text);
  for (const char* direction : {"outbound", "inbound"}) {
    std::string line = both.ended(direction);
    INFO(line);
    CHECK(has(line, "\tinfo\taccess\tconnection complete\tsrc.addr="));
    CHECK(has(line, "bytes_sent=3145728 bytes_recv=3145728 duration="));
    CHECK(has(line, "src.identity=\"spiffe://cluster.local/ns/default/sa/client\""));
    CHECK(has(line, "dst.identity=\"spiffe://cluster.local/ns/default/sa/echo\""));
    CHECK(has(line, "dst.hbone_addr=" + (both.call_to(app.at.port, kFrom).target.str())));
    CHECK_FALSE(has(line, "error="));
  }
  co_await shut_down(both);
}

Task<void> hang_up_while_dialling(TwoZtunnels& both) {
  std::vector<Fd> held;  // a peer that never shakes hands
  Listener silent(TwoZtunnels::kServer, [&held](Fd fd) { held.push_back(std::move(fd)); });
  Captured call = both.call_to(1, kFrom);
  call.decision.to = silent.at;
  Wire wire = tcp_pair();
  Loop::current().spawn("call", carry_call(both.client->pods[0].get(), std::move(wire.far), std::move(call)));
  while (held.empty()) co_await Sleep(1);
  set_reset_on_close(wire.near.get());
  wire.near = Fd();
  while (both.client->stories > 0) co_await Sleep(1);
  held.clear();
  co_await shut_down(both);
  CHECK(has(both.ended("outbound"), "error=\"the application hung up\""));
}

Task<void> plain_tcp(TwoZtunnels& both) {
  Listener app(TwoZtunnels::kServer, serve_echo);
  Captured call = both.call_to(app.at.port, kFrom);
  call.decision = {.to = app.at};
  std::string answer;
  bool clean = false;
  co_await request(both, std::move(call), "over plain TCP", answer, clean);
  CHECK(answer == "over plain TCP");
  co_await until_idle(both);
  CHECK(has(both.ended("outbound"), "dst.addr=" + app.at.str() + " direction=\"outbound\""));
  CHECK_FALSE(has(both.ended("outbound"), "identity"));
  co_await shut_down(both);
}

Task<void> drain_lets_finish(TwoZtunnels& both) {
  Listener app(TwoZtunnels::kServer, serve_echo);
  Wire wire = tcp_pair();
  TcpStream near(std::move(wire.near));
  Captured call = both.call_to(app.at.port, kFrom);
  Loop::current().spawn("call", carry_call(both.client->pods[0].get(), std::move(wire.far), std::move(call)));
  while (both.server->live.empty()) co_await Sleep(1);
  both.server->drain();
  both.client->drain();
  co_await say(near, "still here");
  std::string answer;
  bool clean = co_await read_all(near, answer);
  CHECK(clean);
  CHECK(answer == "still here");
  co_await shut_down(both);
  CHECK_FALSE(has(both.ended("inbound"), "error="));
}

Task<void> cut_says_why(TwoZtunnels& both) {
  Listener app(TwoZtunnels::kServer, serve_echo);
  Wire wire = tcp_pair();
  TcpStream near(std::move(wire.near));
  Captured call = both.call_to(app.at.port, kFrom);
  Loop::current().spawn("call", carry_call(both.client->pods[0].get(), std::move(wire.far), std::move(call)));
  Status sent = co_await ambientd::test::send_text(near, "x");
  CHECK(sent);
  std::string rest;
  co_await ambientd::test::read_n(near, 1, rest);  // the tunnel stands: before that, a cut is a refusal
  both.server->drain();
  both.server->cut();
  bool clean = co_await read_all(near, rest);
  CHECK_FALSE(clean);
  co_await shut_down(both);
  CHECK(has(both.ended("inbound"), "error=\"connection closed due to connection drain\""));
}

Task<void> slow_handshake_is_shed(TwoZtunnels& both) {
  both.settings.handshake_ms = 50;
  Result<Fd> fd = tcp_socket(false, 0);
  REQUIRE(fd);
  Scope scope;
  Result<Fd> connected = co_await connect(std::move(*fd), both.hbone->at, scope);
  REQUIRE(connected);
  TcpStream peer(std::move(*connected));
  std::string nothing;
  co_await read_all(peer, nothing);
  CHECK(nothing.empty());
  CHECK(has(both.refused(), "error=\"tls handshake error: timed out\""));
  CHECK(both.server->handshakes == 0);
  co_await shut_down(both);
}

Task<void> oldest_handshake_is_shed(TwoZtunnels& both) {
  both.settings.handshakes = 2;
  Scope scope;
  std::vector<std::unique_ptr<TcpStream>> silent;
  for (size_t i = 0; i < 3; ++i) {
    Result<Fd> fd = tcp_socket(false, 0);
    REQUIRE(fd);
    Result<Fd> connected = co_await connect(std::move(*fd), both.hbone->at, scope);
    REQUIRE(connected);
    silent.push_back(std::make_unique<TcpStream>(std::move(*connected)));
    while (both.server->handshakes < std::min<size_t>(i + 1, 2)) co_await Sleep(1);
  }
  std::string nothing;
  co_await read_all(*silent[0], nothing);
  CHECK(nothing.empty());
  CHECK(has(both.refused(), "error=\"too many HBONE connections at once"));
  co_await one_call(both, "a good peer gets through");
  silent.clear();
  while (both.server->handshakes > 0) co_await Sleep(1);
  co_await shut_down(both);
}

}  // namespace

TEST_CASE("a captured call crosses two ztunnels, with half-close, both ways") {
  Loop loop;
  TwoZtunnels both;
  ambientd::test::run(loop, first_connection(both));
}

TEST_CASE("a call that policy denies gets 401 and names the policy at the server") {
  Loop loop;
  TwoZtunnels both;
  both.mesh.policies = {deny_all()};
  both.publish();
  Captured call = both.call_to(8080, kFrom);
  ambientd::test::run(loop,
                      refused(both, call, "http status: 401 Unauthorized",
                              "error=\"connection closed due to policy rejection: explicitly denied by: "
                              "default/deny\""));
}

TEST_CASE("a policy that a workload names and nobody has denies") {
  Loop loop;
  TwoZtunnels both;
  both.mesh.workloads[1].authorization_policies = {"default/gone"};
  both.publish();
  ambientd::test::run(loop, refused(both, both.call_to(8080, kFrom), "http status: 401 Unauthorized",
                                    "explicitly denied by: default/gone"));
}

TEST_CASE("an application port that is closed gets 503") {
  Loop loop;
  TwoZtunnels both;
  ambientd::test::run(loop, refused(both, both.call_to(1, kFrom), "http status: 503 Service Unavailable",
                                    "connect 127.0.0.2:1: Connection refused (os error 111)"));
}

TEST_CASE("an authority that is not the pod's address gets 400") {
  Loop loop;
  TwoZtunnels both;
  Captured call = both.call_to(8080, kFrom);
  call.decision.authority = "127.0.0.3:8080";
  ambientd::test::run(
      loop, refused(both, call, "http status: 400 Bad Request", "ip mismatch: 127.0.0.2 != 127.0.0.3"));
  // Refused before it was opened: only its failure is counted, with the identity the peer has proved.
  std::string exposed = both.registry.expose(metrics::Format::openmetrics);
  auto count = [&exposed](std::string_view family, std::string_view part) {
    for (std::string_view line : split(exposed, '\n'))
      if (line.starts_with(family) && line.find("reporter=\"destination\"") != line.npos &&
          line.find(part) != line.npos)
        return std::string(line.substr(line.rfind(' ') + 1));
    return std::string("none");
  };
  CHECK(count("istio_tcp_connections_failed_total", "sa/client\",source_app") == "1");
  CHECK(count("istio_tcp_connections_opened_total", "") == "none");
}

TEST_CASE("a CONNECT to a port of the proxy is refused") {
  Loop loop;
  TwoZtunnels both;
  ambientd::test::run(loop, refused(both, both.call_to(15001, kFrom), "http status: 503 Service Unavailable",
                                    "attempted recursive call to ourselves"));
}

TEST_CASE("a peer with another identity than expected is not talked to") {
  Loop loop;
  TwoZtunnels both;
  Captured call = both.call_to(8080, kFrom);
  call.decision.peers = {ambientd::test::workload("somebody-else")};
  ambientd::test::run(
      loop, refused(both, call, "identity verification error: peer did not present the expected SAN", "tls"));
}

TEST_CASE("an application that hangs up ends the dial made for it") {
  Loop loop;
  TwoZtunnels both;
  ambientd::test::run(loop, hang_up_while_dialling(both));
}

TEST_CASE("a call to what is not in the mesh is relayed over plain TCP") {
  Loop loop;
  TwoZtunnels both;
  ambientd::test::run(loop, plain_tcp(both));
}

TEST_CASE("a drain lets open connections finish") {
  Loop loop;
  TwoZtunnels both;
  ambientd::test::run(loop, drain_lets_finish(both));
}

TEST_CASE("what a drain cuts at its deadline says so") {
  Loop loop;
  TwoZtunnels both;
  ambientd::test::run(loop, cut_says_why(both));
}

TEST_CASE("a peer that does not finish its handshake is shed") {
  Loop loop;
  TwoZtunnels both;
  ambientd::test::run(loop, slow_handshake_is_shed(both));
}

TEST_CASE("of too many peers that do not finish their handshake the oldest is shed") {
  Loop loop;
  TwoZtunnels both;
  ambientd::test::run(loop, oldest_handshake_is_shed(both));
}
