// SPDX-License-Identifier: Apache-2.0
#include "core/tls.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>

#include "core/identity.h"
#include "test/support/catch.h"
#include "test/support/mint.h"
#include "test/support/tls_pair.h"

using namespace ambientd;
using namespace ambientd::test;
using Catch::Matchers::Contains;

namespace {

using Context = std::shared_ptr<SSL_CTX>;

TlsCredentials credentials(const Issued& issued) { return {issued.chain, issued.key.get(), issued.roots}; }

Context client_of(const Issued& issued) { return *client_context(credentials(issued)); }

Context server_of(const Issued& issued, std::vector<std::string> domains = {"cluster.local"}) {
  return *server_context(credentials(issued), std::move(domains));
}

Issued leaf(const LocalCa& ca, const std::string& sa) {
  return *ca.issue(workload(sa), std::chrono::hours(1), std::chrono::system_clock::now());
}

// A pair over one root, server `echo`, client `curl` that expects echo.
TlsPair good_pair(const LocalCa& ca) {
  TlsPair pair(client_of(leaf(ca, "curl")).get(), server_of(leaf(ca, "echo")).get());
  expect_peers(pair.client.get(), {workload("echo")});
  return pair;
}

std::string uri(const std::string& sa) { return workload(sa).uri(); }

// Asked of the providers, not of the group lists under test.
bool has_ml_kem() {
  EVP_KEYMGMT* found = EVP_KEYMGMT_fetch(nullptr, "X25519MLKEM768", nullptr);
  EVP_KEYMGMT_free(found);
  ERR_clear_error();
  return found != nullptr;
}

std::string key_exchange(const TlsPair& pair) {
  return SSL_group_to_name(pair.client.get(), static_cast<int>(SSL_get_negotiated_group(pair.client.get())));
}

}  // namespace

TEST_CASE("two workloads of one mesh know each other after the handshake") {
  LocalCa ca = new_root();
  TlsPair pair = good_pair(ca);
  REQUIRE(pair.handshake());
  CHECK(peer_check(pair.client.get()).identity == workload("echo"));
  CHECK(peer_check(pair.server.get()).identity == workload("curl"));
  CHECK(peer_check(pair.client.get()).root == fingerprint(ca.roots.front().get()));
  CHECK(peer_check(pair.server.get()).root == fingerprint(ca.roots.front().get()));
  CHECK_FALSE(peer_check(pair.server.get()).error);
}

TEST_CASE("connections are TLS 1.3 with h2, without SNI and without anything to resume") {
  TlsPair pair = good_pair(new_root());
  REQUIRE(pair.handshake());
  CHECK(SSL_version(pair.client.get()) == TLS1_3_VERSION);
  CHECK(std::string(SSL_get_cipher_name(pair.client.get())) == "TLS_AES_256_GCM_SHA384");
  CHECK(SSL_get_servername(pair.server.get(), TLSEXT_NAMETYPE_host_name) == nullptr);
  CHECK(SSL_SESSION_has_ticket(SSL_get_session(pair.client.get())) == 0);
  CHECK(SSL_SESSION_is_resumable(SSL_get_session(pair.client.get())) == 0);
  for (SSL* side : {pair.client.get(), pair.server.get()}) {
    const unsigned char* name = nullptr;
    unsigned size = 0;
    SSL_get0_alpn_selected(side, &name, &size);
    CHECK(std::string(reinterpret_cast<const char*>(name), size) == "h2");
  }
}

TEST_CASE("a client accepts any of the peers it expects and no other") {
  LocalCa ca = new_root();
  TlsPair pair = good_pair(ca);
  expect_peers(pair.client.get(), {workload("other"), workload("echo")});
  CHECK(pair.handshake());

  TlsPair wrong = good_pair(ca);
  expect_peers(wrong.client.get(), {workload("a"), workload("b")});
  CHECK_FALSE(wrong.handshake());
  REQUIRE(wrong.client_error);
  CHECK(wrong.client_error->code == Errc::identity);
  CHECK(wrong.client_error->detail ==
        "identity verification error: peer did not present the expected SAN "
        "(spiffe://cluster.local/ns/default/sa/a,spiffe://cluster.local/ns/default/sa/b), got "
        "spiffe://cluster.local/ns/default/sa/echo");
  REQUIRE(wrong.server_error);
  CHECK_THAT(wrong.server_error->detail, Contains("bad certificate"));
  CHECK_FALSE(peer_check(wrong.client.get()).identity);
}

TEST_CASE("a client that expects nobody refuses everybody") {
  LocalCa ca = new_root();
  TlsPair pair(client_of(leaf(ca, "curl")).get(), server_of(leaf(ca, "echo")).get());
  CHECK_FALSE(pair.handshake());
  REQUIRE(pair.client_error);
  CHECK(pair.client_error->code == Errc::identity);
}

TEST_CASE("a server accepts its trust domains and no other, byte for byte") {
  LocalCa ca = new_root();
  struct Case {
    const char* domain;
    std::vector<std::string> accepted;
    bool want;
  };
  const Case cases[] = {
      {"cluster.local", {"cluster.local"}, true},          {"other.local", {"cluster.local"}, false},
      {"Cluster.local", {"cluster.local"}, false},         {"cluster.local.evil", {"cluster.local"}, false},
      {"old.local", {"cluster.local", "old.local"}, true}, {"cluster.local", {}, false},
  };
  for (const Case& c : cases) {
    INFO(c.domain);
    Issued client = mint_leaf(ca, {.uris = {"spiffe://" + std::string(c.domain) + "/ns/a/sa/b"}});
    TlsPair pair(client_of(client).get(), server_of(leaf(ca, "echo"), c.accepted).get());
    expect_peers(pair.client.get(), {workload("echo")});
    CHECK(pair.handshake() == c.want);
    if (c.want) continue;
    REQUIRE(pair.server_error);
    CHECK(pair.server_error->code == Errc::identity);
    CHECK_THAT(pair.server_error->detail, Contains("expected trustdomain"));
    REQUIRE(pair.client_error);
    CHECK_THAT(pair.client_error->detail, Contains("bad certificate"));
  }
}

TEST_CASE("a bad certificate is refused by either side, with an alert") {
  LocalCa ca = new_root(), other = new_root();
  struct Case {
    const char* what;
    CertificateSpec spec;
    bool as_client, as_server;
    const char* error;
  };
  const std::string good = uri("echo");
  const Case cases[] = {
      {"good", {.uris = {good}}, true, true, ""},
      {"good, with DNS names beside", {.uris = {good}, .dns = {"echo.default", "*"}}, true, true, ""},
      {"good, without EKU", {.uris = {good}, .eku = ""}, true, true, ""},
      {"good, with a subject", {.uris = {good}, .common_name = "whatever"}, true, true, ""},
      {"two URI SANs", {.uris = {good, uri("b")}}, false, false, "more than one URI SAN"},
      {"the same URI SAN twice", {.uris = {good, good}}, false, false, "more than one URI SAN"},
      {"no SAN", {.common_name = "spiffe://cluster.local/ns/default/sa/echo"}, false, false, "no URI SAN"},
      {"a DNS SAN only", {.dns = {good}}, false, false, "no URI SAN"},
      {"an embedded NUL", {.uris = {good + std::string("\0.evil", 6)}}, false, false, "is not spiffe://"},
      {"a NUL at the end", {.uris = {good + std::string(1, '\0')}}, false, false, "is not spiffe://"},
      {"no SPIFFE URI",
       {.uris = {"https://cluster.local/ns/default/sa/echo"}},
       false,
       false,
       "is not spiffe://"},
      {"expired",
       {.uris = {good}, .until = std::chrono::seconds(-1)},
       false,
       false,
       "certificate has expired"},
      {"not yet valid", {.uris = {good}, .from = std::chrono::seconds(600)}, false, false, "not yet valid"},
      {"a CA certificate", {.uris = {good}, .ca = true}, false, false, "CA certificate"},
      {"for servers only", {.uris = {good}, .eku = "serverAuth"}, false, true, "certificate purpose"},
      {"for clients only", {.uris = {good}, .eku = "clientAuth"}, true, false, "certificate purpose"},
      {"for code", {.uris = {good}, .eku = "codeSigning"}, false, false, "certificate purpose"},
  };
  for (const Case& c : cases) {
    INFO(c.what);
    TlsPair client(client_of(mint_leaf(ca, c.spec)).get(), server_of(leaf(ca, "echo")).get());
    expect_peers(client.client.get(), {workload("echo")});
    CHECK(client.handshake() == c.as_client);
    if (!c.as_client) {
      REQUIRE(client.server_error);
      CHECK_THAT(client.server_error->detail, Contains(c.error));
      REQUIRE(client.client_error);
      CHECK_THAT(client.client_error->detail, Contains("alert"));
    }
    TlsPair server(client_of(leaf(ca, "curl")).get(), server_of(mint_leaf(ca, c.spec)).get());
    expect_peers(server.client.get(), {workload("echo")});
    CHECK(server.handshake() == c.as_server);
    if (!c.as_server) {
      REQUIRE(server.client_error);
      CHECK_THAT(server.client_error->detail, Contains(c.error));
      REQUIRE(server.server_error);
      CHECK_THAT(server.server_error->detail, Contains("alert"));
    }
  }
}

TEST_CASE("a certificate of another root is refused by both sides") {
  LocalCa ca = new_root(), other = new_root();
  TlsPair client(client_of(leaf(other, "curl")).get(), server_of(leaf(ca, "echo")).get());
  expect_peers(client.client.get(), {workload("echo")});
  CHECK_FALSE(client.handshake());
  REQUIRE(client.client_error);
  CHECK(client.client_error->code == Errc::tls);
  CHECK_THAT(client.client_error->detail, Contains("invalid peer certificate"));
}

TEST_CASE("a client without a certificate is told that one is required") {
  LocalCa ca = new_root();
  SslContextPtr bare(SSL_CTX_new(TLS_client_method()));
  TlsPair pair(bare.get(), server_of(leaf(ca, "echo")).get());
  CHECK_FALSE(pair.handshake());
  REQUIRE(pair.server_error);
  CHECK_THAT(pair.server_error->detail, Contains("peer did not return a certificate"));
  REQUIRE(pair.client_error);
  CHECK_THAT(pair.client_error->detail, Contains("certificate required"));
}

TEST_CASE("a server takes h2 or no ALPN at all") {
  LocalCa ca = new_root();
  struct Case {
    std::string offer;  // wire format
    bool want;
  };
  const Case cases[] = {{"", true},
                        {std::string("\x02h2"), true},
                        {std::string("\x08http/1.1\x02h2"), true},
                        {std::string("\x08http/1.1"), false},
                        {std::string("\x03h2c"), false},
                        {std::string("\x04\x02h2x"), false},
                        {std::string("\x01h"), false}};
  for (const Case& c : cases) {
    INFO(c.offer);
    TlsPair pair = good_pair(ca);
    SSL_set_alpn_protos(pair.client.get(), reinterpret_cast<const unsigned char*>(c.offer.data()),
                        static_cast<unsigned>(c.offer.size()));
    CHECK(pair.handshake() == c.want);
    if (c.want) continue;
    REQUIRE(pair.client_error);
    CHECK_THAT(pair.client_error->detail, Contains("no application protocol"));
  }
}

TEST_CASE("a peer that knows only TLS 1.2 is refused") {
  TlsPair pair = good_pair(new_root());
  SSL_set_min_proto_version(pair.client.get(), TLS1_2_VERSION);
  SSL_set_max_proto_version(pair.client.get(), TLS1_2_VERSION);
  SSL_set_cipher_list(pair.client.get(), "ECDHE-ECDSA-AES128-GCM-SHA256");
  CHECK_FALSE(pair.handshake());
}

TEST_CASE(
    "where TLS 1.2 is on both versions work, 1.2 only with forward secrecy and GCM, without resumption") {
  LocalCa ca = new_root();
  Issued curl = leaf(ca, "curl"), echo = leaf(ca, "echo");
  TlsRules rules{.tls12 = true};
  Context client = *client_context(credentials(curl), rules);
  Context server = *server_context(credentials(echo), {"cluster.local"}, rules);
  struct Case {
    int least, most;
    const char* ciphers;
    int version;  // 0: refused
  };
  const Case cases[] = {
      {TLS1_2_VERSION, TLS1_3_VERSION, nullptr, TLS1_3_VERSION},
      {TLS1_2_VERSION, TLS1_2_VERSION, nullptr, TLS1_2_VERSION},
      {TLS1_2_VERSION, TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256", TLS1_2_VERSION},
      {TLS1_2_VERSION, TLS1_2_VERSION, "ECDHE-ECDSA-AES256-SHA384", 0},
      {TLS1_2_VERSION, TLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305", 0},
  };
  for (const Case& c : cases) {
    INFO((c.ciphers ? c.ciphers : "our own") << ' ' << c.most);
    TlsPair pair(client.get(), server.get());
    expect_peers(pair.client.get(), {workload("echo")});
    SSL_set_min_proto_version(pair.client.get(), c.least);
    SSL_set_max_proto_version(pair.client.get(), c.most);
    if (c.ciphers) SSL_set_cipher_list(pair.client.get(), c.ciphers);
    CHECK(pair.handshake() == (c.version != 0));
    if (c.version == 0) continue;
    CHECK(SSL_version(pair.server.get()) == c.version);
    CHECK(peer_check(pair.server.get()).identity == workload("curl"));
    CHECK(SSL_SESSION_is_resumable(SSL_get_session(pair.client.get())) == 0);
  }
  TlsPair old(client.get(), server_of(echo).get());  // one side alone does not lower the other
  expect_peers(old.client.get(), {workload("echo")});
  SSL_set_max_proto_version(old.client.get(), TLS1_2_VERSION);
  CHECK_FALSE(old.handshake());
}

TEST_CASE("the key exchange is post-quantum where OpenSSL has it, and X25519 with a peer that has not") {
  TlsPair pair = good_pair(new_root());
  REQUIRE(pair.handshake());
  CHECK(key_exchange(pair) == (has_ml_kem() ? "X25519MLKEM768" : "x25519"));

  TlsPair old = good_pair(new_root());
  SSL_set1_groups_list(old.server.get(), "X25519:P-256");
  REQUIRE(old.handshake());
  CHECK(key_exchange(old) == "x25519");
}

TEST_CASE("COMPLIANCE_POLICY=pqc talks to nobody without X25519MLKEM768") {
  if (!has_ml_kem()) return;  // the next case
  LocalCa ca = new_root();
  for (const char* groups : {"X25519MLKEM768:X25519", "X25519:P-256"}) {
    TlsPair pair(client_context(credentials(leaf(ca, "curl")), {.post_quantum = true})->get(),
                 server_of(leaf(ca, "echo")).get());
    expect_peers(pair.client.get(), {workload("echo")});
    SSL_set1_groups_list(pair.server.get(), groups);
    bool want = std::string_view(groups).starts_with("X25519MLKEM768");
    CHECK(pair.handshake() == want);
    if (want) CHECK(key_exchange(pair) == "X25519MLKEM768");
  }
}

TEST_CASE("a compliance policy that this OpenSSL cannot keep is an error at the start") {
  CHECK(check_rules({}));
  CHECK(check_rules({.tls12 = true}));
  Status post_quantum = check_rules({.post_quantum = true});
  CHECK(post_quantum.has_value() == has_ml_kem());
  if (!post_quantum) CHECK_THAT(post_quantum.error().detail, Contains("COMPLIANCE_POLICY=pqc needs"));
  LocalCa ca = new_root();
  CHECK(client_context(credentials(leaf(ca, "a")), {.post_quantum = true}).has_value() ==
        post_quantum.has_value());
}

TEST_CASE("RSA and P-384 CAs, and a peer with one group, all work") {
  for (EVP_PKEY* key : {EVP_RSA_gen(2048), EVP_EC_gen("P-384")}) {
    TlsPair pair = good_pair(mint_ca("other kind", PrivateKeyPtr(key)));
    CHECK(pair.handshake());
  }
  for (const char* group : {"X25519", "P-256", "P-384"}) {
    TlsPair pair = good_pair(new_root());
    SSL_set1_groups_list(pair.client.get(), group);
    CHECK(pair.handshake());
  }
  TlsPair odd = good_pair(new_root());
  SSL_set1_groups_list(odd.client.get(), "P-521");
  CHECK_FALSE(odd.handshake());
}

TEST_CASE("a chain through an intermediate is presented and believed") {
  LocalCa root = new_root(), middle;
  middle.key = *make_p256_key();
  middle.issuer = mint({.uris = {}, .dns = {}, .common_name = "middle", .eku = "", .ca = true},
                       middle.key.get(), root.issuer.get(), root.key.get());
  middle.intermediates.push_back(share(middle.issuer.get()));
  middle.roots.push_back(share(root.issuer.get()));
  TlsPair pair(client_of(leaf(middle, "curl")).get(), server_of(leaf(root, "echo")).get());
  expect_peers(pair.client.get(), {workload("echo")});
  CHECK(pair.handshake());
  CHECK(peer_check(pair.server.get()).root == fingerprint(root.issuer.get()));
}

TEST_CASE("while a root is being replaced both are believed, and afterwards the old one is not") {
  LocalCa before = new_root(), after = new_root();
  Issued mine = leaf(after, "echo");
  mine.roots.push_back(share(before.roots.front().get()));
  Issued theirs = leaf(before, "curl");
  theirs.roots.push_back(share(after.roots.front().get()));
  TlsPair during(client_of(theirs).get(), server_of(mine).get());
  expect_peers(during.client.get(), {workload("echo")});
  CHECK(during.handshake());
  CHECK(peer_check(during.server.get()).root == fingerprint(before.roots.front().get()));

  TlsPair done(client_of(theirs).get(), server_of(leaf(after, "echo")).get());
  expect_peers(done.client.get(), {workload("echo")});
  CHECK_FALSE(done.handshake());
}

TEST_CASE("contexts need a certificate, its own key and a root") {
  LocalCa ca = new_root();
  Issued a = leaf(ca, "a"), b = leaf(ca, "b");
  CHECK_FALSE(client_context({a.chain, a.key.get(), {}}));
  CHECK_FALSE(client_context({{}, a.key.get(), a.roots}));
  CHECK_FALSE(client_context({a.chain, nullptr, a.roots}));
  Result<Context> crossed = server_context({a.chain, b.key.get(), a.roots}, {"cluster.local"});
  REQUIRE_FALSE(crossed);
  CHECK(crossed.error().code == Errc::tls);
}
