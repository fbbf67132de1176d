// SPDX-License-Identifier: Apache-2.0
#include "core/certificate.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "test/support/catch.h"
#include "test/support/mint.h"

using namespace ambientd;
using namespace ambientd::test;
using Catch::Matchers::Contains;

namespace {

X509Ptr with_uris(std::vector<std::string> uris) {
  LocalCa ca = new_root();
  return std::move(mint_leaf(ca, {.uris = std::move(uris)}).chain.front());
}

}  // namespace

TEST_CASE("certificates come out of PEM in order, whatever stands between them") {
  LocalCa a = new_root(), b = new_root();
  std::string text =
      "a comment\n" + to_pem(a.issuer.get()) + "\n" + to_pem(a.key.get()) + to_pem(b.issuer.get()) + "end";
  Result<std::vector<X509Ptr>> parsed = parse_certificates(text, "x.pem");
  REQUIRE(parsed);
  REQUIRE(parsed->size() == 2);
  CHECK(fingerprint((*parsed)[0].get()) == fingerprint(a.issuer.get()));
  CHECK(fingerprint((*parsed)[1].get()) == fingerprint(b.issuer.get()));
}

TEST_CASE("what is no certificate is one error that names its source") {
  LocalCa ca = new_root();
  std::string good = to_pem(ca.issuer.get()), broken = good, many;
  broken.replace(broken.size() / 2, 4, "!!!!");
  for (int i = 0; i < 101; i++) many += good;
  for (const std::string& text :
       {std::string(), std::string("garbage"), std::string("\0\0", 2), broken, good + broken,
        good.substr(0, good.size() / 2), to_pem(ca.key.get()), many, std::string(2 << 20, 'x')}) {
    Result<std::vector<X509Ptr>> parsed = parse_certificates(text, "/etc/ca.pem");
    REQUIRE_FALSE(parsed);
    CHECK(parsed.error().code == Errc::invalid);
    CHECK_THAT(parsed.error().detail, Catch::Matchers::StartsWith("/etc/ca.pem: "));
    CHECK(ERR_peek_error() == 0);
  }
}

TEST_CASE("private keys are read in every usual form") {
  const char* sec1 = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
  PrivateKeyPtr key = *make_p256_key();
  CHECK(parse_private_key(to_pem(key.get()), "k"));
  CHECK(parse_private_key(sec1 + to_pem(key.get()), "k"));
  PrivateKeyPtr rsa(EVP_RSA_gen(2048));
  Result<PrivateKeyPtr> again = parse_private_key(to_pem(rsa.get()), "k");
  REQUIRE(again);
  CHECK(EVP_PKEY_eq(again->get(), rsa.get()) == 1);
}

TEST_CASE("a key that cannot be used is one error that names its source and holds no secret") {
  PrivateKeyPtr weak(EVP_RSA_gen(1024)), odd(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  std::string good = to_pem(make_p256_key()->get()), cut = good.substr(0, good.size() - 60);
  std::string locked =
      "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIGjMF8G\n-----END ENCRYPTED PRIVATE KEY-----\n";
  for (const std::string& text :
       {std::string(), std::string("garbage"), cut, locked, to_pem(weak.get()), to_pem(odd.get())}) {
    Result<PrivateKeyPtr> parsed = parse_private_key(text, "/etc/key.pem");
    REQUIRE_FALSE(parsed);
    CHECK(parsed.error().code == Errc::invalid);
    CHECK_THAT(parsed.error().detail, Catch::Matchers::StartsWith("/etc/key.pem: "));
    CHECK_THAT(parsed.error().detail, !Contains("MI"));
    CHECK(ERR_peek_error() == 0);
  }
}

TEST_CASE("a certificate describes itself in plain text") {
  LocalCa ca = new_root();
  TimePoint now = std::chrono::system_clock::now();
  X509Ptr leaf = std::move(mint_leaf(ca, {.uris = {workload("a").uri()}}).chain.front());
  CertificateText text = describe(leaf.get());
  CHECK_THAT(text.pem, Catch::Matchers::StartsWith("-----BEGIN CERTIFICATE-----\n"));
  CHECK(std::stol(text.serial) > 1000);
  CHECK(text.not_before <= now);
  CHECK(text.not_after > now + std::chrono::minutes(59));
  CHECK(text.not_after < now + std::chrono::minutes(61));
  CHECK(fingerprint(leaf.get()).size() == 64);
  CHECK_FALSE(is_ca(leaf.get()));
  CHECK_FALSE(is_self_signed(leaf.get()));
  CHECK(is_ca(ca.issuer.get()));
  CHECK(is_self_signed(ca.issuer.get()));
}

TEST_CASE("a date beyond the clock is the clock's end, not an overflow") {
  LocalCa ca = new_root();
  X509Ptr leaf =
      std::move(mint_leaf(ca, {.uris = {}, .until = std::chrono::hours(24 * 365 * 5000L)}).chain.front());
  CHECK(not_after(leaf.get()) > std::chrono::system_clock::now() + std::chrono::hours(24 * 365 * 200L));
}

TEST_CASE("a certificate belongs to the one workload that its one URI SAN names") {
  std::string good = workload("echo").uri();
  CHECK(peer_identity(with_uris({good}).get()) == workload("echo"));
  struct Case {
    std::vector<std::string> uris;
    const char* error;
  };
  const Case cases[] = {
      {{}, "no URI SAN"},
      {{good, good}, "more than one"},
      {{good, "https://x"}, "more than one"},
      {{good + '\0'}, "is not spiffe://"},
      {{good + std::string("\0.evil.com", 10)}, "is not spiffe://"},
      {{good + "/x"}, "is not spiffe://"},
      {{""}, "is not spiffe://"},
      {{"spiffe://" + std::string(5000, 'a') + "/ns/a/sa/b"}, "is not spiffe://"},
  };
  for (const Case& c : cases) {
    Result<Identity> identity = peer_identity(with_uris(c.uris).get());
    REQUIRE_FALSE(identity);
    CHECK(identity.error().code == Errc::identity);
    CHECK_THAT(identity.error().detail, Contains(c.error));
    CHECK(identity.error().detail.size() < 500);
    CHECK(identity.error().detail.find('\0') == std::string::npos);
  }
}

TEST_CASE("OpenSSL's errors become one bounded line and leave nothing behind") {
  ERR_clear_error();
  CHECK(tls_error() == "no detail");
  for (int i = 0; i < 50; i++)
    ERR_raise_data(ERR_LIB_USER, i + 1, "text %d of some length to fill the line", i);
  CHECK(tls_error().size() <= 512);
  CHECK(ERR_peek_error() == 0);
}
