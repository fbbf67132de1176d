// SPDX-License-Identifier: Apache-2.0
#include "core/socket.h"

#include <fmt/format.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "core/loop.h"

namespace ambientd {
namespace {

void set_int(int fd, int level, int option, int value) {
  // Options set through here only tune: a kernel that refuses one still relays.
  (void)setsockopt(fd, level, option, &value, sizeof value);
}

std::optional<SockAddr> address(int fd, int (*ask)(int, sockaddr*, socklen_t*)) {
  sockaddr_storage sa;
  socklen_t size = sizeof sa;
  if (ask(fd, reinterpret_cast<sockaddr*>(&sa), &size) != 0) return {};
  return SockAddr::from(reinterpret_cast<sockaddr*>(&sa));
}

std::optional<SockAddr> original(int fd, int level, int option) {
  sockaddr_storage sa;
  socklen_t size = sizeof sa;
  if (getsockopt(fd, level, option, &sa, &size) != 0) return {};
  return SockAddr::from(reinterpret_cast<sockaddr*>(&sa));
}

// A pending connect(): writable or failed, or closed by the scope.
struct Connecting final : Closable {
  explicit Connecting(int fd) : done("connect"), poll(fd, nullptr, &done) {}
  void close(Errc why) override {
    closed = why;
    done.wake();
  }
  bool await_ready() const { return closed.has_value() || poll.writable(); }
  void await_suspend(std::coroutine_handle<> handle) {
    done.arm(handle);
    poll.want_write();
  }
  void await_resume() const {}

  Waiter done;
  Poll poll;
  std::optional<Errc> closed;
};

}  // namespace

Fd::~Fd() {
  if (fd_ >= 0) ::close(fd_);
}

Result<Fd> tcp_socket(bool v6, uint32_t mark) {
  Fd fd(socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return fail(os_error(Errc::io, "socket", errno));
  set_nodelay(fd.get());  // an accepted socket inherits it from its listener
  if (mark != 0 && setsockopt(fd.get(), SOL_SOCKET, SO_MARK, &mark, sizeof mark) != 0) {
    return fail(os_error(
        Errc::io,
        fmt::format("SO_MARK {:#x} on a socket (CAP_NET_ADMIN or CAP_NET_RAW is needed; run as root)", mark),
        errno));
  }
  return fd;
}

void set_nodelay(int fd) { set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1); }

void set_keepalive(int fd, const Keepalive& keepalive) {
  if (!keepalive.enabled) return;
  int time = static_cast<int>(keepalive.time.count());
  int interval = static_cast<int>(keepalive.interval.count());
  int retries = static_cast<int>(keepalive.retries);
  set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, time);
  set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, interval);
  set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, retries);
  if (keepalive.user_timeout) {
    set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, (time + retries * interval) * 1000);
  }
}

void set_congestion_control(int fd, const std::string& name) {
  if (!name.empty())
    (void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name.data(), static_cast<socklen_t>(name.size()));
}

void set_reset_on_close(int fd) {
  linger off{.l_onoff = 1, .l_linger = 0};
  (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &off, sizeof off);
}

Status set_transparent(int fd, bool v6) {
  int on = 1;
  int failed = v6 ? setsockopt(fd, SOL_IPV6, IPV6_TRANSPARENT, &on, sizeof on) : 0;
  // An IPv6 socket that also carries IPv4 needs the IPv4 option as well.
  failed |= setsockopt(fd, SOL_IP, IP_TRANSPARENT, &on, sizeof on);
  if (failed)
    return fail(os_error(Errc::io, "IP_TRANSPARENT (CAP_NET_ADMIN or CAP_NET_RAW is needed)", errno));
  return {};
}

Status bind_source(int fd, const Ip& source) {
  sockaddr_storage sa;
  socklen_t size = SockAddr{source, 0}.to(sa);
  int on = 1;
  (void)setsockopt(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  if (bind(fd, reinterpret_cast<sockaddr*>(&sa), size) == 0) return {};
  return fail(os_error(Errc::connect_failed, "bind to source " + source.str(), errno));
}

Status listen_on(int fd, const SockAddr& at, int backlog) {
  sockaddr_storage sa;
  socklen_t size = at.to(sa);
  set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  if (at.ip.v6) set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
  if (bind(fd, reinterpret_cast<sockaddr*>(&sa), size) != 0 || listen(fd, backlog) != 0) {
    const char* hint = errno == EADDRINUSE ? " (is another ambientd or ztunnel running here?)" : "";
    return fail(os_error(Errc::io, fmt::format("listen on {}{}", at.str(), hint), errno));
  }
  return {};
}

std::optional<SockAddr> local_address(int fd) { return address(fd, getsockname); }

std::optional<SockAddr> peer_address(int fd) { return address(fd, getpeername); }

std::optional<SockAddr> original_destination(int fd) {
  if (std::optional<SockAddr> v4 = original(fd, SOL_IP, SO_ORIGINAL_DST)) return v4;
  if (std::optional<SockAddr> v6 = original(fd, SOL_IPV6, IP6T_SO_ORIGINAL_DST)) return v6;
  return local_address(fd);
}

Task<Result<Fd>> connect(Fd fd, SockAddr to, Scope& scope) {
  sockaddr_storage sa;
  socklen_t size = to.to(sa);
  auto what = [&to] { return "connect " + to.str(); };
  auto attempt = [&] { return ::connect(fd.get(), reinterpret_cast<sockaddr*>(&sa), size) == 0 ? 0 : errno; };
  int err = attempt();
  // The application is on this host: by now it has answered, but only the second call may say so.
  if (err == EINPROGRESS) err = attempt();
  if (err == EALREADY) err = EINPROGRESS;
  if (err == EINPROGRESS) {
    Connecting pending(fd.get());
    pending.poll.not_writable();
    scope.add(pending);
    co_await pending;
    if (pending.closed) co_return fail(scope.explain({*pending.closed, what() + ": given up"}));
    socklen_t length = sizeof err;
    getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &err, &length);
  }
  if (err == ECONNREFUSED) co_return fail(os_error(Errc::connect_refused, what(), err));
  if (err != 0) co_return fail(os_error(Errc::connect_failed, what(), err));
  co_return std::move(fd);
}

struct Acceptor::State {
  State(Fd listening, Accepted to)
      : fd(std::move(listening)),
        accepted(std::move(to)),
        waiter("accept"),
        poll(fd.get(), &waiter, nullptr) {}
  Fd fd;
  Accepted accepted;
  Waiter waiter;
  Poll poll;
  bool stopped = false;

  Fd accept(SockAddr& peer) const {
    sockaddr_storage sa{};
    socklen_t size = sizeof sa;
    Fd got(accept4(fd.get(), reinterpret_cast<sockaddr*>(&sa), &size, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (got) peer = SockAddr::from(reinterpret_cast<sockaddr*>(&sa)).value_or(SockAddr{});
    return got;
  }

  bool await_ready() const { return stopped || poll.readable(); }
  void await_suspend(std::coroutine_handle<> handle) {
    waiter.arm(handle);
    poll.want_read();
  }
  void await_resume() const {}
};

Acceptor::Acceptor(Fd listening, std::function<void(Fd)> accepted)
    : Acceptor(std::move(listening),
               [to = std::move(accepted)](Fd fd, const SockAddr&) { to(std::move(fd)); }) {}

Acceptor::Acceptor(Fd listening, Accepted accepted)
    : state_(new State(std::move(listening), std::move(accepted))) {
  Loop::current().spawn("accept", run(state_));
}

// The story owns its state from here: it ends, and closes the socket, at the loop's next turn.
Acceptor::~Acceptor() {
  state_->stopped = true;  // `accepted` may be running right now: it goes with its state
  state_->waiter.wake();
}

int Acceptor::fd() const { return state_->fd.get(); }

Task<void> Acceptor::run(State* state) {
  static constexpr int kBurst = 64;  // connections a turn, so that accepting never starves traffic
  static constexpr uint64_t kPauseMs = 50;
  std::unique_ptr<State> owned(state);
  while (!state->stopped) {
    co_await *state;
    for (int i = 0; i < kBurst && !state->stopped; ++i) {
      SockAddr peer;
      Fd fd = state->accept(peer);
      if (fd) {
        state->accepted(std::move(fd), peer);
        continue;
      }
      int err = errno;
      if (err == ECONNABORTED || err == EINTR) continue;
      if (err == EMFILE || err == ENFILE || err == ENOBUFS || err == ENOMEM) co_await Sleep(kPauseMs);
      break;
    }
    state->poll.not_readable();  // back to the loop: what is left raises the event again
  }
}

}  // namespace ambientd
