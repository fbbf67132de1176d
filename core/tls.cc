// SPDX-License-Identifier: Apache-2.0
#include "core/tls.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <iterator>

namespace ambientd {
namespace {

constexpr unsigned char kAlpn[] = {2, 'h', '2'};
constexpr const char* kCiphers12 =  // where TLS 1.2 is on
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256";
constexpr int kMaxDepth = 8;                // intermediates a peer may send that count
constexpr size_t kMaxPeerChain = 64 << 10;  // bytes of certificates a peer may send

// Contexts carry their Admission and connections their PeerCheck as OpenSSL "ex data", which
// frees them with their owner.
template <class T>
void free_extra(void*, void* extra, CRYPTO_EX_DATA*, int, long, void*) {
  delete static_cast<T*>(extra);
}

// Whom a context's connections admit.
struct Admission {
  std::vector<std::string> trust_domains;  // of clients
  std::shared_ptr<const Revocations> revocations;
};

int admission_slot() {
  static const int slot = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, free_extra<Admission>);
  return slot;
}

int peer_check_slot() {
  static const int slot = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, free_extra<PeerCheck>);
  return slot;
}

PeerCheck& own_check(SSL* connection) {
  auto* check = static_cast<PeerCheck*>(SSL_get_ex_data(connection, peer_check_slot()));
  if (!check) {
    check = new PeerCheck;
    SSL_set_ex_data(connection, peer_check_slot(), check);
  }
  return *check;
}

const Admission& admission_of(const SSL* connection) {
  return *static_cast<const Admission*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(connection), admission_slot()));
}

// Both roles' rules about who a peer with a good chain may be.
Status admit_client(const SSL* connection, const Identity& peer) {
  const std::vector<std::string>& domains = admission_of(connection).trust_domains;
  if (std::ranges::find(domains, peer.trust_domain) != domains.end()) return {};
  return fail(
      Errc::identity,
      fmt::format("identity verification error: peer did not present the expected trustdomain ({}), got {}",
                  fmt::join(domains, ","), peer.uri()));
}

std::string joined(const std::vector<Identity>& identities) {
  std::vector<std::string> uris;
  std::ranges::transform(identities, std::back_inserter(uris), &Identity::uri);
  return fmt::format("{}", fmt::join(uris, ","));
}

Status admit_server(const PeerCheck& check, const Identity& peer) {
  if (std::ranges::find(check.expected, peer) != check.expected.end()) return {};
  return fail(Errc::identity,
              fmt::format("identity verification error: peer did not present the expected SAN ({}), got {}",
                          joined(check.expected), peer.uri()));
}

Status check_chain(const SSL* connection, const STACK_OF(X509) * chain) {
  const std::shared_ptr<const Revocations>& revocations = admission_of(connection).revocations;
  return revocations ? revocations->current()->check(chain) : Status();
}

// Chain, dates, key usage and EKU are OpenSSL's job: the purpose of the role is set before we are called.
Result<Identity> verified_peer(X509_STORE_CTX* store, const SSL* connection, const PeerCheck& check) {
  X509* leaf = X509_STORE_CTX_get0_cert(store);
  if (X509_verify_cert(store) != 1)
    return fail(Errc::tls, fmt::format("invalid peer certificate: {}",
                                       X509_verify_cert_error_string(X509_STORE_CTX_get_error(store))));
  Status good = check_chain(connection, X509_STORE_CTX_get0_chain(store));
  if (!good) return fail(std::move(good.error()));
  if (X509_get_extension_flags(leaf) & EXFLAG_CA)
    return fail(Errc::tls, "invalid peer certificate: a CA certificate is used as a workload's");
  Result<Identity> peer = peer_identity(leaf);
  if (!peer) return fail(peer.error().code, "identity verification error: " + peer.error().detail);
  Status admitted = SSL_is_server(connection) ? admit_client(connection, *peer) : admit_server(check, *peer);
  if (!admitted) return fail(admitted.error());
  return peer;
}

std::string anchor_of(X509_STORE_CTX* store) {
  STACK_OF(X509)* chain = X509_STORE_CTX_get0_chain(store);
  int count = sk_X509_num(chain);
  return count > 0 ? fingerprint(sk_X509_value(chain, count - 1)) : std::string();
}

// Called once a handshake that carries a peer certificate; 1 goes on, 0 sends the alert of the store's error.
int judge_peer(X509_STORE_CTX* store, void*) {
  auto* connection =
      static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  PeerCheck& check = own_check(connection);
  Result<Identity> peer = verified_peer(store, connection, check);
  if (peer) {
    check.identity = *peer;
    check.root = anchor_of(store);
    return 1;
  }
  check.error = peer.error();
  if (X509_STORE_CTX_get_error(store) == X509_V_OK) {
    bool revoked = check.error->code == Errc::revoked;
    X509_STORE_CTX_set_error(
        store, revoked ? X509_V_ERR_CERT_REVOKED : X509_V_ERR_CERT_REJECTED);  // alert bad_certificate
  }
  return 0;
}

// A ClientHello without ALPN never gets here and is accepted (contract/ztunnel.md §5.1).
int select_h2(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* offered,
              unsigned size, void*) {
  for (unsigned at = 0; at < size; at += 1 + offered[at]) {
    if (size - at < sizeof kAlpn || !std::equal(std::begin(kAlpn), std::end(kAlpn), offered + at)) continue;
    *out = offered + at + 1;
    *out_size = offered[at];
    return SSL_TLSEXT_ERR_OK;
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

// Hybrid post-quantum first where this OpenSSL has it; the first list also sends both key shares, so that a
// peer without it needs no second round trip. What the library does not know makes it refuse the whole list.
bool set_groups(SSL_CTX* context, bool post_quantum) {
  if (post_quantum) return SSL_CTX_set1_groups_list(context, "X25519MLKEM768") == 1;
  for (const char* groups :
       {"*X25519MLKEM768:*X25519:P-256:P-384", "X25519MLKEM768:X25519:P-256:P-384", "X25519:P-256:P-384"}) {
    if (SSL_CTX_set1_groups_list(context, groups) == 1) return true;
    ERR_clear_error();
  }
  return false;
}

// No resumption in any form: it would skip the peer check.
bool set_protocol(SSL_CTX* context, const TlsRules& rules) {
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(context, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_max_cert_list(context, kMaxPeerChain);
  return SSL_CTX_set_min_proto_version(context, rules.tls12 ? TLS1_2_VERSION : TLS1_3_VERSION) == 1 &&
         SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) == 1 &&
         SSL_CTX_set_ciphersuites(context, "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256") == 1 &&
         SSL_CTX_set_cipher_list(context, kCiphers12) == 1 && SSL_CTX_set_num_tickets(context, 0) == 1 &&
         set_groups(context, rules.post_quantum);
}

bool present(SSL_CTX* context, const TlsCredentials& credentials) {
  if (SSL_CTX_use_certificate(context, credentials.chain.front().get()) != 1) return false;
  if (SSL_CTX_use_PrivateKey(context, credentials.key) != 1) return false;
  for (const X509Ptr& next : credentials.chain.subspan(1))
    if (SSL_CTX_add1_chain_cert(context, next.get()) != 1) return false;
  return SSL_CTX_check_private_key(context) == 1;
}

// A root need not be self-signed: what the operator trusts is the end of the chain.
bool believe(SSL_CTX* context, const TlsCredentials& credentials) {
  X509_STORE* store = SSL_CTX_get_cert_store(context);
  for (const X509Ptr& root : credentials.roots)
    if (X509_STORE_add_cert(store, root.get()) != 1) return false;
  X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST);
  SSL_CTX_set_verify_depth(context, kMaxDepth);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  SSL_CTX_set_cert_verify_callback(context, judge_peer, nullptr);
  return true;
}

Result<std::shared_ptr<SSL_CTX>> make_context(const SSL_METHOD* method, const TlsCredentials& credentials,
                                              const TlsRules& rules, std::vector<std::string> domains) {
  if (credentials.chain.empty() || !credentials.key || credentials.roots.empty())
    return fail(Errc::invalid, "TLS needs a certificate, its key and a root");
  ERR_clear_error();
  SslContextPtr context(SSL_CTX_new(method));
  if (!context || !set_protocol(context.get(), rules))
    return fail(Errc::tls, "setting up TLS: " + tls_error());
  if (!present(context.get(), credentials) || !believe(context.get(), credentials))
    return fail(Errc::tls, "taking a certificate into use: " + tls_error());
  auto admission = std::make_unique<Admission>(std::move(domains), rules.revocations);
  if (SSL_CTX_set_ex_data(context.get(), admission_slot(), admission.get()) != 1)
    return fail(Errc::tls, "keeping whom to admit: " + tls_error());
  admission.release();  // the context frees it
  return std::shared_ptr<SSL_CTX>(std::move(context));
}

}  // namespace

Status check_rules(const TlsRules& rules) {
  ERR_clear_error();
  SslContextPtr context(SSL_CTX_new(TLS_method()));
  bool good = context && set_protocol(context.get(), rules);
  std::string detail = tls_error();
  if (good) return {};
  if (rules.post_quantum)
    return fail(Errc::invalid,
                fmt::format("COMPLIANCE_POLICY=pqc needs the key exchange X25519MLKEM768, which {} "
                            "does not have (OpenSSL 3.5 and later do; `make OPENSSL=3.5` builds with one)",
                            OpenSSL_version(OPENSSL_VERSION)));
  return fail(Errc::invalid, "setting up TLS: " + detail);
}

Result<std::shared_ptr<SSL_CTX>> client_context(const TlsCredentials& credentials, const TlsRules& rules) {
  Result<std::shared_ptr<SSL_CTX>> context = make_context(TLS_client_method(), credentials, rules, {});
  if (!context) return context;
  if (SSL_CTX_set_alpn_protos(context->get(), kAlpn, sizeof kAlpn) != 0)  // 0 is success, for once
    return fail(Errc::tls, "offering ALPN h2: " + tls_error());
  return context;
}

Result<std::shared_ptr<SSL_CTX>> server_context(const TlsCredentials& credentials,
                                                std::vector<std::string> trust_domains,
                                                const TlsRules& rules) {
  trust_domains.insert(trust_domains.end(), rules.aliases.begin(), rules.aliases.end());
  Result<std::shared_ptr<SSL_CTX>> context =
      make_context(TLS_server_method(), credentials, rules, std::move(trust_domains));
  if (!context) return context;
  SSL_CTX_set_alpn_select_cb(context->get(), select_h2, nullptr);
  return context;
}

void expect_peers(SSL* connection, std::vector<Identity> expected) {
  own_check(connection).expected = std::move(expected);
}

const PeerCheck& peer_check(const SSL* connection) {
  static const PeerCheck kNothingYet;
  const auto* check = static_cast<const PeerCheck*>(SSL_get_ex_data(connection, peer_check_slot()));
  return check ? *check : kNothingYet;
}

Status check_revoked(const SSL* connection) {
  return check_chain(connection, SSL_get0_verified_chain(connection));
}

Error handshake_error(const SSL* connection) {
  std::string detail = tls_error();
  const PeerCheck& check = peer_check(connection);
  if (check.error) return *check.error;
  return {Errc::tls, "tls handshake error: " + detail};
}

}  // namespace ambientd
