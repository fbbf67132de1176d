// SPDX-License-Identifier: Apache-2.0
#include "core/tls_stream.h"

#include <openssl/err.h>
#include <sys/socket.h>

#include <cerrno>

#include "core/certificate.h"
#include "core/loop.h"
#include "core/tls.h"

namespace ambientd {
namespace {

constexpr size_t kMostAtOnce = 1 << 20;  // plain bytes one write() takes
// What may wait to be sent: one write, and our answers to a peer that asks for new keys but never reads them.
constexpr size_t kMostUnsent = 2 * kMostAtOnce;

}  // namespace

TlsStream::TlsStream(Fd fd, SslPtr ssl)
    : fd_(std::move(fd)), poll_(fd_.get(), &reader_, &writer_, this), ssl_(std::move(ssl)) {
  BIO* bio = BIO_new(bio_method());
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);
}

BIO_METHOD* TlsStream::bio_method() {
  static BIO_METHOD* method = [] {
    BIO_METHOD* m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "ambientd stream");
    BIO_meth_set_read_ex(m, bio_read);
    BIO_meth_set_write_ex(m, bio_write);
    BIO_meth_set_ctrl(m, bio_ctrl);
    return m;
  }();
  return method;
}

int TlsStream::bio_read(BIO* bio, char* out, size_t n, size_t* got) {
  auto* self = static_cast<TlsStream*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  std::span<const uint8_t> from = self->early_.empty() ? self->wire_in_ : self->early_.bytes();
  n = std::min(n, from.size());
  if (n == 0) {
    BIO_set_retry_read(bio);
    return 0;
  }
  std::memcpy(out, from.data(), n);
  *got = n;
  if (self->early_.empty()) {
    self->wire_in_ = self->wire_in_.subspan(n);
  } else {
    self->early_.drop(n);
  }
  return 1;
}

int TlsStream::bio_write(BIO*, const char* data, size_t n, size_t* put) {
  Loop::current().wire().append(data, n);
  *put = n;
  return 1;
}

long TlsStream::bio_ctrl(BIO* bio, int command, long, void*) {
  if (command == BIO_CTRL_FLUSH) return 1;
  if (command != BIO_CTRL_PENDING) return 0;
  auto* self = static_cast<TlsStream*>(BIO_get_data(bio));
  return static_cast<long>(self->early_.size() + self->wire_in_.size());
}

TlsStream::Fill TlsStream::fill() {
  std::span<uint8_t> room = Loop::current().rx().take();
  ssize_t n = recv(fd_.get(), room.data(), room.size(), 0);
  poll_.not_readable();  // one recv() a turn: a fast sender must not keep the loop from its other sockets
  if (n > 0) {
    wire_in_ = room.first(static_cast<size_t>(n));
    return Fill::got;
  }
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return Fill::nothing;
  fail_with(n < 0 ? os_error(Errc::reset, "receive", errno)
                  : Error{Errc::eof, "connection closed without a TLS close_notify"});
  return Fill::ended;
}

// Everything OpenSSL wrote in one call lies in the loop's wire buffer; it leaves in one send().
bool TlsStream::flush() {
  Buffer& wire = Loop::current().wire();
  iovec pieces[2] = {out_.iov(), {wire.data(), wire.size()}};
  size_t want = pieces[0].iov_len + pieces[1].iov_len;
  size_t sent = 0;
  if (want > 0) {
    msghdr message{};
    message.msg_iov = pieces;
    message.msg_iovlen = 2;
    ssize_t n = sendmsg(fd_.get(), &message, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
      wire.clear();
      fail_with(os_error(Errc::reset, "send", errno));
      return false;
    }
    sent = n > 0 ? static_cast<size_t>(n) : 0;
  }
  size_t from_kept = std::min(sent, pieces[0].iov_len);
  wire.drop(sent - from_kept);
  keep_unsent(from_kept);
  if (out_.empty()) return true;
  poll_.not_writable();
  poll_.want_write();
  return false;
}

// A large rest stays where it is: the connection takes the buffer over, and gives it back when it is out.
void TlsStream::keep_unsent(size_t sent_of_kept) {
  Loop& loop = Loop::current();
  Buffer& wire = loop.wire();
  if (sent_of_kept > 0 && sent_of_kept == out_.size()) {
    loop.give_buffer(out_.release());
  } else if (sent_of_kept > 0) {
    out_.drop(sent_of_kept);
  }
  if (out_.empty() && wire.size() > wire.capacity() / 4) {
    out_.adopt(std::exchange(wire, loop.take_buffer()));
  } else {
    out_.append(wire.data(), wire.size());
  }
  wire.clear();
}

struct TlsStream::Readable {
  TlsStream& s;
  bool await_ready() const { return s.error_ || s.poll_.readable(); }
  void await_suspend(std::coroutine_handle<> handle) {
    s.reader_.arm(handle);
    s.poll_.want_read();
  }
  void await_resume() const {}
};

struct TlsStream::Writable {
  TlsStream& s;
  bool await_ready() const { return s.error_ || s.out_.empty(); }
  void await_suspend(std::coroutine_handle<> handle) {
    s.writer_.arm(handle);
    s.poll_.want_write();
  }
  void await_resume() const {}
};

Status TlsStream::step(bool& more) {
  Result<bool> done = shake_hands(ssl_.get());
  flush();  // the next flight, or the alert that says why not
  if (!done) return fail(std::move(done.error()));
  if (error_) return fail(*error_);
  more = !*done;
  return {};
}

Task<Result<std::unique_ptr<TlsStream>>> TlsStream::handshake(Fd fd, SslPtr ssl, Scope& scope) {
  std::unique_ptr<TlsStream> stream(new TlsStream(std::move(fd), std::move(ssl)));
  scope.add(*stream);
  for (bool more = true;;) {
    Status stepped = stream->step(more);
    if (!stepped) co_return fail(scope.explain(std::move(stepped.error())));
    if (!more) stream->keep_early();
    co_await Writable(*stream);
    if (!more && !stream->error_) break;
    co_await Readable(*stream);
    if (!stream->error_) stream->fill();
    if (stream->error_) co_return fail(scope.explain(*stream->error_));
  }
  co_return std::move(stream);
}

// The peer's first bytes may have come with its last flight; the loop's buffer is not ours beyond this turn.
void TlsStream::keep_early() {
  if (!wire_in_.empty()) early_.append(wire_in_.data(), wire_in_.size());
  wire_in_ = {};
}

void TlsStream::fail_with(Error error) {
  if (!error_) error_ = std::move(error);
}

bool TlsStream::decrypt() {
  Loop& loop = Loop::current();
  std::span<uint8_t> room = loop.plain().take();
  Opened opened = open_records(ssl_.get(), room);
  if (opened.eof) eof_ = true;
  if (opened.error) fail_with(std::move(*opened.error));
  if (!loop.wire().empty()) flush();  // alerts and key updates
  if (out_.size() > kMostUnsent) fail_with({Errc::tls, "the peer asks for new keys and does not read them"});
  if (opened.n == 0) return false;
  loan_.take(room.first(opened.n), loop.plain());
  return true;
}

bool TlsStream::poll_read(Result<Chunk>& out) {
  for (;;) {
    if (loan_.lend(out)) return true;
    if (eof_) {
      out = Chunk{.eof = true};
      return true;
    }
    if (error_) {
      out = fail(*error_);
      return true;
    }
    if (early_.empty() && wire_in_.empty()) {
      if (!poll_.readable() || fill() == Fill::nothing) {
        poll_.want_read();
        return false;
      }
    }
    if (!error_) decrypt();
  }
}

void TlsStream::consume(size_t n) { loan_.consume(n); }

bool TlsStream::poll_write(std::span<const iovec> data, Result<size_t>& out) {
  if (error_) {
    out = fail(*error_);
    return true;
  }
  if (!out_.empty()) {  // drain() wakes the writer when it is out
    poll_.want_write();
    return false;
  }
  size_t taken = 0;
  for (const iovec& each : data) {
    iovec piece{each.iov_base, std::min(each.iov_len, kMostAtOnce - taken)};
    rekey_.count(ssl_.get(), piece.iov_len);
    // The BIO takes everything, so a write is never left half done.
    if (Status sealed = seal_records(ssl_.get(), piece); !sealed) {
      fail_with(std::move(sealed.error()));
      Loop::current().wire().clear();
      out = fail(*error_);
      return true;
    }
    taken += piece.iov_len;
    if (taken == kMostAtOnce) break;
  }
  flush();
  out = taken;
  return true;
}

void TlsStream::finish() {
  if (error_ || finishing_) return;
  finishing_ = true;
  ERR_clear_error();
  SSL_shutdown(ssl_.get());  // close_notify; what does not fit now is lost with the socket, after all data
  ERR_clear_error();
  if (flush()) shutdown(fd_.get(), SHUT_WR);
}

bool TlsStream::drain() {
  bool done = flush() || error_;
  if (done && finishing_) shutdown(fd_.get(), SHUT_WR);
  return done;
}

void TlsStream::close(Errc why) {
  fail_with({why, std::string(name(why))});
  reader_.wake();
  writer_.wake();
}

}  // namespace ambientd
