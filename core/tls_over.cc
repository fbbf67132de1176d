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

constexpr uint32_t kRekeyAfter = 1u << 23;  // records (RFC 8446 §5.5)
constexpr size_t kRecord = 16 << 10;
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
    ERR_clear_error();
    int ok = SSL_do_handshake(stream->ssl_.get());
    int why = ok == 1 ? SSL_ERROR_NONE : SSL_get_error(stream->ssl_.get(), ok);
    std::optional<Error> refused;
    if (why == SSL_ERROR_SSL || why == SSL_ERROR_SYSCALL) refused = handshake_error(stream->ssl_.get());
    stream->collect();  // the next flight, or the alert that says why not
    Status sent = co_await write_all(*stream->carrier_, stream->out_.bytes());
    stream->out_ = {};
    if (refused) co_return fail(scope.explain(std::move(*refused)));
    if (!sent) co_return fail(scope.explain(std::move(sent.error())));
    more = ok != 1;
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
  size_t used = 0;
  while (used < room.size()) {
    ERR_clear_error();
    size_t n = 0;
    int ok = SSL_read_ex(ssl_.get(), room.data() + used, room.size() - used, &n);
    if (ok == 1) {
      used += n;
      continue;
    }
    fed_ = false;
    int why = SSL_get_error(ssl_.get(), ok);
    if (why == SSL_ERROR_ZERO_RETURN) eof_ = true;
    if (why == SSL_ERROR_SSL || why == SSL_ERROR_SYSCALL) fail_with({Errc::tls, "tls error: " + tls_error()});
    break;
  }
  if (used > 0) loan_.take(room.first(used), loop.plain());
  return used > 0;
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
    if (!poll_read_of(*carrier_, chunk)) return false;
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
    auto* from = static_cast<const uint8_t*>(each.iov_base);
    size_t size = std::min(each.iov_len, kMostAtOnce - encrypted_);
    for (size_t done = 0; done < size;) {
      ERR_clear_error();
      size_t n = 0;
      if (SSL_write_ex(ssl_.get(), from + done, size - done, &n) != 1) {
        fail_with({Errc::tls, "tls error: " + tls_error()});
        return false;
      }
      done += n;
    }
    records_ += static_cast<uint32_t>(size / kRecord + 1);
    encrypted_ += size;
    if (encrypted_ == kMostAtOnce) break;
  }
  if (records_ >= kRekeyAfter && SSL_key_update(ssl_.get(), SSL_KEY_UPDATE_NOT_REQUESTED) == 1) records_ = 0;
  collect();
  return true;
}

bool TlsOver::push() {
  while (!out_.empty()) {
    iovec piece = out_.iov();
    Result<size_t> taken;
    if (!poll_write_of(*carrier_, {&piece, 1}, taken)) return false;
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
  if (data.empty()) return poll_write_of(*carrier_, {}, out);
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
