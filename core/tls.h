// SPDX-License-Identifier: Apache-2.0
// Mutual TLS as the mesh speaks it (contract/ztunnel.md §5.1): TLS 1.3, 1.2 only where asked for, ALPN h2, a
// certificate on both sides, and peers known by SPIFFE identity only; subject and DNS names are never looked
// at. One SSL_CTX per identity and role is shared by all its connections. The peer is judged inside the
// handshake, so a bad one gets a TLS alert; a client that names no expected peer refuses everybody.
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
#include "core/revocation.h"
#include "core/spiffe.h"

namespace ambientd {

// What an SSL_CTX presents and whom it believes. The handles are borrowed for the call (OpenSSL counts
// references).
struct TlsCredentials {
  std::span<const X509Ptr> chain;  // leaf first, then intermediates, without the root
  EVP_PKEY* key = nullptr;
  std::span<const X509Ptr> roots;  // trust anchors, at least one
};

// What an operator sets about every connection of the process.
struct TlsRules {
  std::vector<std::string> aliases;  // trust domains that servers accept besides their own
  bool tls12 = false;                // TLS12_ENABLED: 1.2 as well
  bool post_quantum = false;         // COMPLIANCE_POLICY=pqc: no key exchange but X25519MLKEM768
  std::shared_ptr<const Revocations> revocations;  // null: none are checked
};

// Whether this OpenSSL can do what the rules ask for. Errc::invalid.
Status check_rules(const TlsRules& rules);

// A context for connections we open. Errc::tls or Errc::invalid when OpenSSL refuses the credentials.
Result<std::shared_ptr<SSL_CTX>> client_context(const TlsCredentials& credentials,
                                                const TlsRules& rules = {});

// A context for connections we accept: a client certificate is mandatory and its identity must be in one of
// `trust_domains` or the rules' aliases (compared byte for byte).
Result<std::shared_ptr<SSL_CTX>> server_context(const TlsCredentials& credentials,
                                                std::vector<std::string> trust_domains,
                                                const TlsRules& rules = {});

// What the handshake found out about the peer. `identity` and `root` are set once the peer's certificate was
// verified, `error` once it was refused; before that all are empty.
struct PeerCheck {
  std::vector<Identity> expected;    // client role: the peer must be one of these
  std::optional<Identity> identity;  // who the peer is
  std::string root;                  // fingerprint of the trust anchor that verified it
  std::optional<Error> error;        // Errc::identity: a good certificate of somebody else; revoked; else tls
};

// Names the peers a client connection accepts; to be called before the handshake.
void expect_peers(SSL* connection, std::vector<Identity> expected);

const PeerCheck& peer_check(const SSL* connection);  // lives as long as the connection

// Whether the peer of an established connection is still good by the lists in force now: its verified chain
// is looked at again. Errc::revoked, or Errc::tls where a list cannot be believed.
Status check_revoked(const SSL* connection);

// Why the handshake on `connection` failed: the peer check's error, else Errc::tls with OpenSSL's words.
// Empties the thread's OpenSSL error queue, as tls_error() of core/certificate.h does.
Error handshake_error(const SSL* connection);

}  // namespace ambientd
