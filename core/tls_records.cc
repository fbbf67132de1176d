// SPDX-License-Identifier: Apache-2.0
#include "core/tls_records.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "core/certificate.h"
#include "core/tls.h"

namespace ambientd {

Result<bool> shake_hands(SSL* ssl) {
  ERR_clear_error();
  int ok = SSL_do_handshake(ssl);
  int why = ok == 1 ? SSL_ERROR_NONE : SSL_get_error(ssl, ok);
  if (why == SSL_ERROR_SSL || why == SSL_ERROR_SYSCALL) return fail(handshake_error(ssl));
  return ok == 1;
}

namespace {

// Whether a read could bring anything. One that cannot costs OpenSSL a buffer, for nothing.
bool has_more(SSL* ssl) { return SSL_has_pending(ssl) == 1 || BIO_pending(SSL_get_rbio(ssl)) > 0; }

}  // namespace

Opened open_records(SSL* ssl, std::span<uint8_t> room) {
  Opened out;
  while (out.n < room.size()) {
    ERR_clear_error();
    size_t n = 0;
    int ok = SSL_read_ex(ssl, room.data() + out.n, room.size() - out.n, &n);
    if (ok == 1) {
      out.n += n;
      if (!has_more(ssl)) return out;
      continue;
    }
    int why = SSL_get_error(ssl, ok);
    out.eof = why == SSL_ERROR_ZERO_RETURN;
    if (why == SSL_ERROR_SSL || why == SSL_ERROR_SYSCALL)
      out.error = {Errc::tls, "tls error: " + tls_error()};
    return out;
  }
  out.full = true;
  return out;
}

Status seal_records(SSL* ssl, const iovec& plain) {
  auto* from = static_cast<const uint8_t*>(plain.iov_base);
  for (size_t done = 0; done < plain.iov_len;) {
    ERR_clear_error();
    size_t n = 0;
    if (SSL_write_ex(ssl, from + done, plain.iov_len - done, &n) != 1)
      return fail(Errc::tls, "tls error: " + tls_error());
    done += n;
  }
  return {};
}

void Rekey::count(SSL* ssl, size_t bytes) {
  records_ += static_cast<uint32_t>(bytes / kTlsRecord + 1);
  if (records_ >= after_ && SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED) == 1) records_ = 0;
}

}  // namespace ambientd
