// SPDX-License-Identifier: Apache-2.0
// Calls between two ztunnels in one loop, and what tests ask of them: applications that echo, a call that
// stays open, the end of all.
#pragma once

#include <poll.h>
#include <sys/socket.h>

#include <memory>
#include <string>

#include "core/relay.h"
#include "test/l4/two_ztunnels.h"

namespace ambientd::l4::test {

struct Wire {
  Fd near, far;
};

// The two ends of a TCP connection over loopback: only TCP tells a reset from an end.
inline Wire tcp_pair() {
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

inline Task<void> echo(Fd fd) {
  TcpStream stream(std::move(fd));
  uint64_t bytes = 0;
  Status echoed = co_await pump(stream, stream, bytes);
}

inline void serve_echo(Fd fd) { Loop::current().spawn("echo", echo(std::move(fd))); }

// Reads until the end; false when that was a reset.
inline Task<bool> read_all(Stream& from, std::string& into) {
  for (;;) {
    Result<Chunk> chunk = co_await from.read();
    if (!chunk) co_return false;
    if (chunk->eof) co_return true;
    for (const iovec& piece : chunk->data) into.append(static_cast<char*>(piece.iov_base), piece.iov_len);
    from.consume(total(chunk->data));
  }
}

inline Task<void> say(Stream& to, std::string text) {
  Status sent = co_await write_all(to, {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  CHECK(sent);
  to.finish();
}

inline Task<void> until_idle(TwoZtunnels& both) {
  while (both.client->stories > 0 || !both.server->live.empty()) co_await Sleep(1);
}

// Everything is over: connections are drained, so that nothing outlives the loop.
inline Task<void> shut_down(TwoZtunnels& both) {
  both.hbone.reset();
  both.client->drain();
  both.server->drain();
  while (both.client->stories + both.server->stories > 0 || !both.client->pods[0]->pool.empty())
    co_await Sleep(5);
}

inline bool has(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

inline const SockAddr kFrom = *SockAddr::parse("127.0.0.1:40000");

inline Task<void> request(TwoZtunnels& both, Captured call, std::string text, std::string& answer,
                          bool& clean) {
  Wire wire = tcp_pair();
  TcpStream app(std::move(wire.near));
  Loop::current().spawn("call", carry_call(both.client->pods[0].get(), std::move(wire.far), std::move(call)));
  Task<void> says = say(app, std::move(text));
  says.start();
  clean = co_await read_all(app, answer);
  co_await says;
}

// Matches everybody.
inline policy::Authorization named(std::string name, policy::Authorization::Action action, bool dry_run) {
  policy::Authorization out{
      .name = std::move(name), .ns = "default", .scope = policy::Authorization::Scope::ns};
  out.action = action;
  out.rules = {{}};
  out.dry_run = dry_run;
  return out;
}

inline policy::Authorization deny_all() { return named("deny", policy::Authorization::Action::deny, false); }

// A call that is open to an echo, with what comes back of it.
struct Open {
  Listener app{TwoZtunnels::kServer, serve_echo};
  Wire wire = tcp_pair();
  TcpStream near{std::move(wire.near)};
};

inline Task<void> open_call(TwoZtunnels& both, Open& open) {
  Captured call = both.call_to(open.app.at.port, kFrom);
  Loop::current().spawn("call",
                        carry_call(both.client->pods[0].get(), std::move(open.wire.far), std::move(call)));
  std::string text = "hello", answer;
  Status sent = co_await write_all(open.near, {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  REQUIRE(sent);
  while (answer.size() < text.size()) {
    Result<Chunk> chunk = co_await open.near.read();
    REQUIRE(chunk);
    for (const iovec& piece : chunk->data) answer.append(static_cast<char*>(piece.iov_base), piece.iov_len);
    open.near.consume(total(chunk->data));
  }
  CHECK(answer == text);
}

inline Task<void> one_call(TwoZtunnels& both, const std::string& text) {
  Listener app(TwoZtunnels::kServer, serve_echo);
  std::string answer;
  bool clean = false;
  co_await request(both, both.call_to(app.at.port, kFrom), text, answer, clean);
  CHECK(clean);
  CHECK(answer == text);
  co_await until_idle(both);
}

inline Task<void> refused(TwoZtunnels& both, Captured call, std::string client_error,
                          std::string server_line) {
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

}  // namespace ambientd::l4::test
