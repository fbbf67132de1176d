// SPDX-License-Identifier: Apache-2.0
// Mutual TLS as the mesh speaks it (contract/ztunnel.md §5.1): TLS 1.3, ALPN h2, a certificate on both sides,
// and peers known by SPIFFE identity only; subject and DNS names are never looked at. One SSL_CTX per
// identity and role is shared by all its connections. The peer is judged inside the handshake, so a bad one
// gets a TLS alert; a client that names no expected peer refuses everybody.
#pragma once

#include <openssl/types.h>

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/certificate.h"
#include "core/result.h"
#include "core/spiffe.h"

namespace ambientd {

// What an SSL_CTX presents and whom it believes. The handles are borrowed for the call (OpenSSL counts
// references).
struct TlsCredentials {
  std::span<const X509Ptr> chain;  // leaf first, then intermediates, without the root
  EVP_PKEY* key = nullptr;
  std::span<const X509Ptr> roots;  // trust anchors, at least one
};

// A context for connections we open. Errc::tls or Errc::invalid when OpenSSL refuses the credentials.
Result<std::shared_ptr<SSL_CTX>> client_context(const TlsCredentials& credentials);

// A context for connections we accept: a client certificate is mandatory and its identity must be in one of
// `trust_domains` (compared byte for byte).
Result<std::shared_ptr<SSL_CTX>> server_context(const TlsCredentials& credentials,
                                                std::vector<std::string> trust_domains);

// What the handshake found out about the peer. `identity` and `root` are set once the peer's certificate was
// verified, `error` once it was refused; before that all are empty.
struct PeerCheck {
  std::vector<Identity> expected;    // client role: the peer must be one of these
  std::optional<Identity> identity;  // who the peer is
  std::string root;                  // fingerprint of the trust anchor that verified it
  std::optional<Error> error;        // Errc::identity: a good certificate of somebody else; else Errc::tls
};

// Names the peers a client connection accepts; to be called before the handshake.
void expect_peers(SSL* connection, std::vector<Identity> expected);

const PeerCheck& peer_check(const SSL* connection);  // lives as long as the connection

// Why the handshake on `connection` failed: the peer check's error, else Errc::tls with OpenSSL's words.
// Empties the thread's OpenSSL error queue, as tls_error() of core/certificate.h does.
Error handshake_error(const SSL* connection);

}  // namespace ambientd
