// SPDX-License-Identifier: Apache-2.0
// Two connected TCP sockets on loopback, for what a socket pair cannot show: large buffers, RST, half-open
// ends.
#pragma once

#include <fcntl.h>
#include <sys/socket.h>

#include <cstdlib>

#include "core/socket.h"

namespace ambientd::test {

struct Loopback {
  // `send_buffer` in bytes bounds what the kernel takes from either end; 0 leaves its default.
  explicit Loopback(int send_buffer = 0) {
    Result<Fd> listening = tcp_socket(false, 0);
    if (!listening || !listen_on(listening->get(), *SockAddr::parse("127.0.0.1:0"), 1)) std::abort();
    SockAddr at = *local_address(listening->get());
    near = Fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    for (int fd : {near.get(), listening->get()}) limit(fd, send_buffer);
    sockaddr_storage sa;
    socklen_t size = at.to(sa);
    if (::connect(near.get(), reinterpret_cast<sockaddr*>(&sa), size) != 0) std::abort();
    far = Fd(accept4(listening->get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!far || fcntl(near.get(), F_SETFL, O_NONBLOCK) != 0) std::abort();
  }
  static void limit(int fd, int bytes) {
    if (bytes == 0) return;
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes) != 0) std::abort();
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes) != 0) std::abort();
  }
  Fd near, far;
};

}  // namespace ambientd::test
