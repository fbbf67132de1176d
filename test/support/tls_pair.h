// SPDX-License-Identifier: Apache-2.0
// A TLS client and server joined by memory, and what each thinks of the handshake.
#pragma once

#include <openssl/types.h>

#include <optional>

#include "core/tls.h"

namespace ambientd::test {

struct TlsPair {
  SslPtr client, server;
  std::optional<Error> client_error, server_error;  // why that side ended the handshake, or was told to

  TlsPair(SSL_CTX* client_context, SSL_CTX* server_context);
  // Shakes hands until both sides are done or nothing moves any more; true when both like each other. A side
  // that is done also reads, so that it hears an alert.
  bool handshake();
};

}  // namespace ambientd::test
