// SPDX-License-Identifier: Apache-2.0
#include "core/tls_over.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>

#include "core/loop.h"
#include "core/relay.h"
#include "core/tls.h"

namespace ambientd {
namespace {

constexpr size_t kMostAtOnce = 256 << 10;  // bytes that one call takes in or lets out

}  // namespace

TlsOver::TlsOver(std::unique_ptr<Stream> carrier, SslPtr ssl)
    : carrier_(std::move(carrier)), ssl_(std::move(ssl)) {
  view(*carrier_);
  SSL_set_bio(ssl_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
}

size_t TlsOver::feed(const Chunk& chunk) {
  size_t fed = 0;
  for (const iovec& piece : chunk.data) {
    size_t n = std::min(piece.iov_len, kMostAtOnce - fed);
    if (n == 0) break;
    size_t put = 0;
    if (BIO_write_ex(SSL_get_rbio(ssl_.get()), piece.iov_base, n, &put) != 1) break;
    fed += put;
  }
  fed_ = true;
  return fed;
}

void TlsOver::collect() {
  char* data = nullptr;
  BIO* wire = SSL_get_wbio(ssl_.get());
  long n = BIO_get_mem_data(wire, &data);
  if (n <= 0) return;
  out_.append(data, static_cast<size_t>(n));
  (void)BIO_reset(wire);
}

Task<Result<std::unique_ptr<TlsOver>>> TlsOver::handshake(std::unique_ptr<Stream> carrier, SslPtr ssl,
                                                          Scope& scope) {
  std::unique_ptr<TlsOver> stream(new TlsOver(std::move(carrier), std::move(ssl)));
  scope.add(*stream);
  for (bool more = true; more;) {
    Result<bool> done = shake_hands(stream->ssl_.get());
    stream->collect();  // the next flight, or the alert that says why not
    Status sent = co_await write_all(*stream->carrier_, stream->out_.bytes());
    stream->out_ = {};
    if (!done) co_return fail(scope.explain(std::move(done.error())));
    if (!sent) co_return fail(scope.explain(std::move(sent.error())));
    more = !*done;
    if (!more) break;
    Result<Chunk> chunk = co_await stream->carrier_->read();
    if (!chunk) co_return fail(scope.explain(std::move(chunk.error())));
    if (chunk->eof) co_return fail(Errc::eof, "the tunnel ended during the TLS handshake inside it");
    size_t fed = stream->feed(*chunk);
    stream->carrier_->consume(fed);
  }
  co_return std::move(stream);
}

bool TlsOver::decrypt() {
  Loop& loop = Loop::current();
  std::span<uint8_t> room = loop.plain().take();
  Opened opened = open_records(ssl_.get(), room);
  fed_ = opened.full;
  if (opened.eof) eof_ = true;
  if (opened.error) fail_with(std::move(*opened.error));
  if (opened.n > 0) loan_.take(room.first(opened.n), loop.plain());
  return opened.n > 0;
}

bool TlsOver::poll_read(Result<Chunk>& out) {
  for (;;) {
    if (loan_.lend(out)) return true;
    if (fed_ && decrypt()) continue;
    if (eof_) {
      out = Chunk{.eof = true};
      return true;
    }
    if (error_) {
      out = fail(*error_);
      return true;
    }
    Result<Chunk> chunk;
    if (!carrier_->try_read(chunk)) return false;
    if (!chunk) {
      fail_with(std::move(chunk.error()));
    } else if (chunk->eof) {
      fail_with({Errc::eof, "connection closed without a TLS close_notify"});
    } else if (!chunk->data.empty()) {
      size_t fed = feed(*chunk);
      carrier_->consume(fed);
    }
  }
}

bool TlsOver::encrypt(std::span<const iovec> data) {
  for (const iovec& each : data) {
    iovec piece{each.iov_base, std::min(each.iov_len, kMostAtOnce - encrypted_)};
    rekey_.count(ssl_.get(), piece.iov_len);
    if (Status sealed = seal_records(ssl_.get(), piece); !sealed) {
      fail_with(std::move(sealed.error()));
      return false;
    }
    encrypted_ += piece.iov_len;
    if (encrypted_ == kMostAtOnce) break;
  }
  collect();
  return true;
}

bool TlsOver::push() {
  while (!out_.empty()) {
    iovec piece = out_.iov();
    Result<size_t> taken;
    if (!carrier_->try_write({&piece, 1}, taken)) return false;
    if (!taken) {
      fail_with(std::move(taken.error()));
      return true;
    }
    out_.drop(*taken);
  }
  return true;
}

bool TlsOver::poll_write(std::span<const iovec> data, Result<size_t>& out) {
  if (!error_ && encrypted_ == 0 && !data.empty()) encrypt(data);
  if (!error_ && !push()) return false;
  if (error_) {
    out = fail(*error_);
    return true;
  }
  if (data.empty()) return carrier_->try_write({}, out);
  out = std::exchange(encrypted_, 0);
  return true;
}

void TlsOver::finish() {
  if (error_) return;
  ERR_clear_error();
  SSL_shutdown(ssl_.get());  // close_notify; what the carrier does not take now is lost with it
  ERR_clear_error();
  collect();
  push();
  carrier_->finish();
}

void TlsOver::fail_with(Error error) {
  if (!error_) error_ = std::move(error);
}

void TlsOver::close(Errc why) {
  fail_with({why, std::string(name(why))});
  carrier_->close(why);
}

}  // namespace ambientd
