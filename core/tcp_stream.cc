// SPDX-License-Identifier: Apache-2.0
#include "core/tcp_stream.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "core/loop.h"

namespace ambientd {

size_t total(std::span<const iovec> data) {
  size_t n = 0;
  for (const iovec& piece : data) n += piece.iov_len;
  return n;
}

bool TcpStream::poll_read(Result<Chunk>& out) {
  if (error_) {
    out = fail(*error_);
    return true;
  }
  if (loan().lend(out)) return true;
  if (eof_) {
    out = Chunk{.eof = true};
    return true;
  }
  if (!poll_.readable()) {
    poll_.want_read();
    return false;
  }
  std::span<uint8_t> room = Loop::current().rx().take();
  iovec piece{room.data(), room.size()};
  Result<Arrived> got = receive({&piece, 1});
  if (!got) {
    out = fail(std::move(got.error()));
    return true;
  }
  if (got->eof) {
    out = Chunk{.eof = true};
    return true;
  }
  if (got->n == 0) {
    poll_.want_read();
    return false;
  }
  loan().take(room.first(got->n), Loop::current().rx());
  return loan().lend(out);
}

Loan& TcpStream::loan() {
  if (!loan_) loan_ = std::make_unique<Loan>();
  return *loan_;
}

Result<TcpStream::Arrived> TcpStream::receive(std::span<const iovec> room) {
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(room.data());
  message.msg_iovlen = room.size();
  ssize_t n = recvmsg(fd_.get(), &message, 0);
  // One call a turn, whatever is left: a fast sender must not keep the loop from its other sockets.
  poll_.not_readable();
  if (n > 0) return Arrived{static_cast<size_t>(n), false};
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return Arrived{};
  if (n < 0) {
    error_ = std::make_unique<Error>(os_error(Errc::reset, "receive", errno));
    return fail(*error_);
  }
  eof_ = true;
  return Arrived{0, true};
}

bool TcpStream::may_read() {
  if (error_ || eof_ || poll_.readable()) return true;
  poll_.want_read();
  return false;
}

Result<TcpStream::Arrived> TcpStream::read_into(std::span<const iovec> room) {
  if (error_) return fail(*error_);
  if (eof_) return Arrived{0, true};
  if (!poll_.readable()) return Arrived{};
  return receive(room);
}

void TcpStream::consume(size_t n) { loan().consume(n); }

bool TcpStream::poll_write(std::span<const iovec> data, Result<size_t>& out) {
  if (error_) {
    out = fail(*error_);
    return true;
  }
  if (data.empty()) {  // nothing of earlier writes is held here
    out = size_t{0};
    return true;
  }
  if (!poll_.writable()) {
    poll_.want_write();
    return false;
  }
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(data.data());
  message.msg_iovlen = std::min<size_t>(data.size(), 1024);  // UIO_MAXIOV
  ssize_t n = sendmsg(fd_.get(), &message, MSG_NOSIGNAL);
  if (n >= 0) {
    out = static_cast<size_t>(n);
    return true;
  }
  if (errno == EAGAIN || errno == EINTR) {
    poll_.not_writable();
    poll_.want_write();
    return false;
  }
  out = fail(os_error(Errc::reset, "send", errno));
  return true;
}

void TcpStream::finish() { shutdown(fd_.get(), SHUT_WR); }

void TcpStream::close(Errc why) {
  if (!error_) error_ = std::make_unique<Error>(why, std::string(name(why)));
  set_reset_on_close(fd_.get());
  reader_.wake();
  writer_.wake();
}

bool TcpStream::at_end() const {
  uint8_t byte;
  return recv(fd_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

bool TcpStream::hung_up() const {
  pollfd p{.fd = fd_.get(), .events = 0, .revents = 0};
  return ::poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR)) != 0;
}

}  // namespace ambientd
