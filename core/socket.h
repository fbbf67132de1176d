// SPDX-License-Identifier: Apache-2.0
// Raw sockets: descriptors that close themselves, the options a transparent proxy needs, listening, dialling.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "core/ip.h"
#include "core/keepalive.h"
#include "core/poll.h"
#include "core/result.h"
#include "core/scope.h"
#include "core/task.h"

namespace ambientd {

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd();
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

// A non-blocking, close-on-exec TCP socket of the address's family, in the calling thread's network
// namespace. `mark` 0 sets none; without CAP_NET_ADMIN a mark is an error that says so.
Result<Fd> tcp_socket(bool v6, uint32_t mark);

void set_nodelay(int fd);
void set_keepalive(int fd, const Keepalive& keepalive);
// TCP_CONGESTION; accepted sockets inherit it. A host that does not have or allow it keeps its own.
void set_congestion_control(int fd, const std::string& name);
void set_reset_on_close(int fd);               // the peer gets RST, so a cut stream never looks complete
Status set_transparent(int fd, bool v6);       // IP_TRANSPARENT: accept and bind addresses that are not ours
Status bind_source(int fd, const Ip& source);  // before connect(): any free port of this address

// Binds and listens. For `any` IPv6 addresses IPv4 is accepted too. EADDRINUSE names the port and what to do.
Status listen_on(int fd, const SockAddr& at, int backlog);

std::optional<SockAddr> local_address(int fd);
std::optional<SockAddr> peer_address(int fd);
// Where a redirected connection was going: SO_ORIGINAL_DST, IPv4 then IPv6, else the local address.
std::optional<SockAddr> original_destination(int fd);

// Connects `fd` to `to`. Fails with connect_refused, connect_failed, or what closes the scope (a deadline).
Task<Result<Fd>> connect(Fd fd, SockAddr to, Scope& scope);

// Accepts until it is destroyed: every connection goes to `accepted` as a non-blocking close-on-exec
// descriptor, before anything was read from it. Out of descriptors it pauses for a moment instead of
// spinning.
class Acceptor {
 public:
  using Accepted = std::function<void(Fd, const SockAddr& peer)>;
  Acceptor(Fd listening, Accepted accepted);
  Acceptor(Fd listening, std::function<void(Fd)> accepted);  // for whom the peer's address does not matter
  ~Acceptor();
  int fd() const;

 private:
  struct State;
  static Task<void> run(State* state);
  State* state_;
};

}  // namespace ambientd
