// SPDX-License-Identifier: Apache-2.0
#include <poll.h>
#include <sys/socket.h>

#include "core/relay.h"
#include "test/l4/two_ztunnels.h"
#include "test/support/run.h"

using namespace ambientd;
using namespace ambientd::l4;
using namespace ambientd::l4::test;

namespace {

struct Wire {
  Fd near, far;
};

// The two ends of a TCP connection over loopback: only TCP tells a reset from an end.
Wire tcp_pair() {
  Result<Fd> listening = tcp_socket(false, 0), near = tcp_socket(false, 0);
  REQUIRE(listening);
  REQUIRE(near);
  REQUIRE(listen_on(listening->get(), {Ip::loopback(false), 0}, 1));
  sockaddr_storage to;
  socklen_t size = local_address(listening->get())->to(to);
  (void)connect(near->get(), reinterpret_cast<sockaddr*>(&to), size);  // in progress, and accepted below
  pollfd ready{.fd = listening->get(), .events = POLLIN, .revents = 0};
  REQUIRE(poll(&ready, 1, 5000) == 1);
  return {std::move(*near), Fd(accept4(listening->get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC))};
}

Task<void> echo(Fd fd) {
  TcpStream stream(std::move(fd));
  uint64_t bytes = 0;
  Status echoed = co_await pump(stream, stream, bytes);
}

void serve_echo(Fd fd) { Loop::current().spawn("echo", echo(std::move(fd))); }

// Reads until the end; false when that was a reset.
Task<bool> read_all(Stream& from, std::string& into) {
  for (;;) {
    Result<Chunk> chunk = co_await from.read();
    if (!chunk) co_return false;
    if (chunk->eof) co_return true;
    for (const iovec& piece : chunk->data) into.append(static_cast<char*>(piece.iov_base), piece.iov_len);
    from.consume(total(chunk->data));
  }
}

Task<void> say(Stream& to, std::string text) {
  Status sent = co_await write_all(to, {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  CHECK(sent);
  to.finish();
}

Task<void> until_idle(TwoZtunnels& both) {
  while (both.client->stories > 0 || !both.server->live.empty()) co_await Sleep(1);
}

// Everything is over: connections are drained, so that nothing outlives the loop.
Task<void> shut_down(TwoZtunnels& both) {
  both.hbone.reset();
  both.client->drain();
  both.server->drain();
  while (both.client->stories + both.server->stories > 0 || !both.client->pods[0]->pool.empty())
    co_await Sleep(5);
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

const SockAddr kFrom = *SockAddr::parse("127.0.0.1:40000");

Task<void> request(TwoZtunnels& both, Captured call, std::string text, std::string& answer, bool& clean) {
  Wire wire = tcp_pair();
  TcpStream app(std::move(wire.near));
  Loop::current().spawn("call", carry_call(both.client->pods[0].get(), std::move(wire.far), std::move(call)));
  Task<void> says = say(app, std::move(text));
  says.start();
  clean = co_await read_all(app, answer);
  co_await says;
}

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

Task<void> refused(TwoZtunnels& both, Captured call, std::string client_error, std::string server_line) {
  std::string answer;
  bool clean = false;
  co_await request(both, std::move(call), "", answer, clean);
  co_await until_idle(both);
  while (!has(both.ended("inbound") + both.refused(), server_line))
    co_await Sleep(1);  // the server hears it later
  CHECK(answer.empty());
  INFO(both.ended("outbound"));
  CHECK(has(both.ended("outbound"), "\terror\taccess\tconnection complete"));
  CHECK(has(both.ended("outbound"), "error=\"" + client_error));
  INFO(both.ended("inbound") + both.refused());
  CHECK(has(both.ended("inbound") + both.refused(), server_line));
  co_await shut_down(both);
}

policy::Authorization deny_all() {
  policy::Authorization out{.name = "deny", .ns = "default", .scope = policy::Authorization::Scope::ns};
  out.action = policy::Authorization::Action::deny;
  out.rules = {{}};
  return out;
}

Task<void> policy_change(TwoZtunnels& both) {
  Listener app(TwoZtunnels::kServer, serve_echo);
  Wire wire = tcp_pair();
  TcpStream near(std::move(wire.near));
  Captured call = both.call_to(app.at.port, kFrom);
  Loop::current().spawn("call", carry_call(both.client->pods[0].get(), std::move(wire.far), std::move(call)));
  std::string text = "hello", answer;
  Status sent = co_await write_all(near, {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  REQUIRE(sent);
  while (answer.empty()) {
    Result<Chunk> chunk = co_await near.read();
    REQUIRE(chunk);
    for (const iovec& piece : chunk->data) answer.append(static_cast<char*>(piece.iov_base), piece.iov_len);
    near.consume(total(chunk->data));
  }
  CHECK(answer == text);
  both.mesh.policies.push_back(deny_all());
  both.publish();
  std::string rest;
  bool clean = co_await read_all(near, rest);
  CHECK_FALSE(clean);
  co_await until_idle(both);
  CHECK(has(both.ended("inbound"), "error=\"connection closed due to policy change\""));
  CHECK(has(both.registry.expose(metrics::Format::openmetrics), "response_flags=\"DENY\""));
  co_await shut_down(both);
}

// A list names one end's certificate; the other end, which looks at it, cuts the connection.
Task<void> revoked_while_open(TwoZtunnels& both, std::string sa, std::string direction,
                              std::string reporter) {
  Listener app(TwoZtunnels::kServer, serve_echo);
  Wire wire = tcp_pair();
  TcpStream near(std::move(wire.near));
  Captured call = both.call_to(app.at.port, kFrom);
  Loop::current().spawn("call", carry_call(both.client->pods[0].get(), std::move(wire.far), std::move(call)));
  while (both.server->live.empty()) co_await Sleep(1);
  both.client->revoke();
  both.server->revoke();
  CHECK_FALSE(both.server->live.empty());  // nobody is revoked yet
  both.revoke(sa);
  (direction == "inbound" ? both.server : both.client)->revoke();
  std::string rest;
  co_await read_all(near, rest);
  co_await until_idle(both);
  INFO(both.ended(direction));
  CHECK(has(both.ended(direction), "error=\"connection closed due to certificate revocation\""));
  std::string text = both.registry.expose(metrics::Format::openmetrics);
  CHECK(has(text, "response_flags=\"CERT_REVOKED\""));
  CHECK(has(text, "istio_crl_policy_rejections_total{reporter=\"" + reporter + "\"} 1"));
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
  while (both.server->live.empty()) co_await Sleep(1);
  both.server->drain();
  both.server->cut();
  std::string rest;
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

TEST_CASE("a policy that comes later closes connections it denies") {
  Loop loop;
  TwoZtunnels both;
  ambientd::test::run(loop, policy_change(both));
}

TEST_CASE("a connection whose peer is revoked is cut, by the client") {
  Loop loop;
  TwoZtunnels both;
  ambientd::test::run(loop, revoked_while_open(both, "echo", "outbound", "source"));
}

TEST_CASE("a connection whose peer is revoked is cut, by the server") {
  Loop loop;
  TwoZtunnels both;
  ambientd::test::run(loop, revoked_while_open(both, "client", "inbound", "destination"));
}

TEST_CASE("a peer that is revoked gets no connection") {
  Loop loop;
  TwoZtunnels both;
  both.certificates.get(ambientd::test::workload("echo"), [](Result<WorkloadCertificatePtr>) {});
  both.revoke("echo");
  ambientd::test::run(loop, refused(both, both.call_to(8080, kFrom), "invalid peer certificate: revoked",
                                    "certificate revoked"));
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
