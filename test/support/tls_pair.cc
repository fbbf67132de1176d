// SPDX-License-Identifier: Apache-2.0
#include "test/support/tls_pair.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "test/support/catch.h"

namespace ambientd::test {
namespace {

// One step of one side. Its first failure is kept.
void step(SSL* side, std::optional<Error>& error) {
  if (error) return;
  ERR_clear_error();
  char byte;
  int got = SSL_is_init_finished(side) ? SSL_read(side, &byte, 1) : SSL_do_handshake(side);
  if (got > 0) return;
  int why = SSL_get_error(side, got);
  if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) error = handshake_error(side);
}

}  // namespace

TlsPair::TlsPair(SSL_CTX* client_context, SSL_CTX* server_context)
    : client(SSL_new(client_context)), server(SSL_new(server_context)) {
  BIO *left = nullptr, *right = nullptr;
  REQUIRE(BIO_new_bio_pair(&left, 1 << 20, &right, 1 << 20) == 1);
  SSL_set_bio(client.get(), left, left);
  SSL_set_bio(server.get(), right, right);
  SSL_set_connect_state(client.get());
  SSL_set_accept_state(server.get());
}

bool TlsPair::handshake() {
  for (int i = 0; i < 10; i++) {  // TLS 1.3 with a retry needs six
    step(client.get(), client_error);
    step(server.get(), server_error);
  }
  return !client_error && !server_error && SSL_is_init_finished(client.get()) &&
         SSL_is_init_finished(server.get());
}

}  // namespace ambientd::test
