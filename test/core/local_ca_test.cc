// SPDX-License-Identifier: Apache-2.0
#include "core/local_ca.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <set>

#include "core/tls.h"
#include "test/support/catch.h"
#include "test/support/mint.h"
#include "test/support/tls_pair.h"

using namespace ambientd;
using namespace ambientd::test;
using Catch::Matchers::Contains;
using std::chrono::hours;
using std::chrono::seconds;

namespace {

TimePoint now() { return std::chrono::system_clock::now(); }

X509* leaf_of(const Issued& issued) { return issued.chain.front().get(); }

int criticality(X509* certificate, int nid) {
  int at = X509_get_ext_by_NID(certificate, nid, -1);
  REQUIRE(at >= 0);
  return X509_EXTENSION_get_critical(X509_get_ext(certificate, at));
}

X509Ptr mint_intermediate(const LocalCa& root, EVP_PKEY* key) {
  return mint({.common_name = "middle", .eku = "", .ca = true}, key, root.issuer.get(), root.key.get());
}

Result<LocalCa> parse(const std::string& certificates, EVP_PKEY* key) {
  return parse_local_ca(certificates, "ca.pem", to_pem(key), "key.pem");
}

bool connects(const Issued& client, const Issued& server) {
  WorkloadCertificatePtr from = *make_workload_certificate(workload("curl"), client);
  WorkloadCertificatePtr to = *make_workload_certificate(workload("echo"), server);
  TlsPair pair(from->client.get(), to->server.get());
  expect_peers(pair.client.get(), {workload("echo")});
  return pair.handshake();
}

Issued sign_now(Signer& signer, const std::string& sa) {
  std::optional<Result<Issued>> answer;
  signer.sign(workload(sa), [&](Result<Issued> issued) { answer.emplace(std::move(issued)); });
  REQUIRE(answer);
  REQUIRE(*answer);
  return std::move(**answer);
}

}  // namespace

TEST_CASE("a leaf is what an X.509-SVID must be") {
  LocalCa ca = new_root();
  TimePoint start = now();
  Issued issued = *ca.issue(workload("echo"), hours(24), start);
  X509* leaf = leaf_of(issued);
  CHECK(peer_identity(leaf) == workload("echo"));
  CHECK_FALSE(is_ca(leaf));
  CHECK(X509_NAME_entry_count(X509_get_subject_name(leaf)) == 0);
  CHECK(criticality(leaf, NID_subject_alt_name) == 1);
  CHECK(criticality(leaf, NID_basic_constraints) == 1);
  CHECK(criticality(leaf, NID_key_usage) == 1);
  CHECK(X509_get_key_usage(leaf) == KU_DIGITAL_SIGNATURE);
  CHECK(X509_get_extended_key_usage(leaf) == (XKU_SSL_SERVER | XKU_SSL_CLIENT));
  CHECK(EVP_PKEY_get_bits(issued.key.get()) == 256);
  CHECK(not_before(leaf) <= start - seconds(119));
  CHECK(not_before(leaf) >= start - seconds(122));
  CHECK(not_after(leaf) <= start + hours(24));
  CHECK(not_after(leaf) > start + hours(24) - seconds(2));
  CHECK(issued.chain.size() == 1);
  REQUIRE(issued.roots.size() == 1);
  CHECK(fingerprint(issued.roots.front().get()) == fingerprint(ca.issuer.get()));
}

TEST_CASE("every leaf has a key and a serial number of its own") {
  LocalCa ca = new_root();
  std::set<std::string> serials, keys;
  for (int i = 0; i < 20; i++) {
    Issued issued = *ca.issue(workload("echo"), hours(1), now());
    serials.insert(serial_number(leaf_of(issued)));
    keys.insert(to_pem(issued.key.get()));
  }
  CHECK(serials.size() == 20);
  CHECK(keys.size() == 20);
  CHECK(serials.begin()->size() > 10);
}

TEST_CASE("a short life is backdated little, and no leaf outlives its issuer") {
  LocalCa ca = new_root();
  TimePoint start = now();
  Issued brief = *ca.issue(workload("echo"), seconds(10), start);
  CHECK(not_before(leaf_of(brief)) >= start - seconds(2));
  TimePoint end = not_after(ca.issuer.get());
  Issued last = *ca.issue(workload("echo"), hours(24), end - hours(1));
  CHECK(not_after(leaf_of(last)) == end);
  Result<Issued> late = ca.issue(workload("echo"), hours(24), end);
  REQUIRE_FALSE(late);
  CHECK(late.error().code == Errc::invalid);
  CHECK_THAT(late.error().detail, Contains("has expired"));
}

TEST_CASE("nothing but a workload identity is signed") {
  LocalCa ca = new_root();
  for (const Identity& bad :
       {Identity{}, Identity{"", "a", "b"}, Identity{"td", "a", "b/../c"},
        Identity{"td", "a,URI:spiffe://x", "b"}, Identity{"td", "a", std::string("b\0c", 3)},
        Identity{"td/ns/x/sa/y", "a", "b"}}) {
    Result<Issued> issued = ca.issue(bad, hours(1), now());
    REQUIRE_FALSE(issued);
    CHECK(issued.error().code == Errc::identity);
  }
}

TEST_CASE("RSA and EC keys sign alike") {
  for (EVP_PKEY* key : {EVP_RSA_gen(2048), EVP_EC_gen("P-256"), EVP_EC_gen("P-384")}) {
    LocalCa made = mint_ca("some CA", PrivateKeyPtr(key));
    Result<LocalCa> ca = parse(to_pem(made.issuer.get()), key);
    REQUIRE(ca);
    CHECK(connects(*ca->issue(workload("curl"), hours(1), now()),
                   *ca->issue(workload("echo"), hours(1), now())));
  }
}

TEST_CASE("a CA file may hold an intermediate, its root, and further roots") {
  LocalCa root = new_root(), next = new_root();
  PrivateKeyPtr key = *make_p256_key();
  X509Ptr middle = mint_intermediate(root, key.get());
  std::string middle_pem = to_pem(middle.get()), root_pem = to_pem(root.issuer.get()),
              next_pem = to_pem(next.issuer.get());

  Result<LocalCa> plain = parse(middle_pem + root_pem + next_pem, key.get());
  REQUIRE(plain);
  CHECK(plain->intermediates.size() == 1);
  CHECK(plain->roots.size() == 2);
  Issued leaf = *plain->issue(workload("curl"), hours(1), now());
  CHECK(leaf.chain.size() == 2);
  CHECK(connects(leaf, *root.issue(workload("echo"), hours(1), now())));

  Result<LocalCa> rolling = parse(root_pem + next_pem, root.key.get());
  REQUIRE(rolling);
  CHECK(rolling->intermediates.empty());
  CHECK(rolling->roots.size() == 2);

  Result<LocalCa> alone = parse(middle_pem, key.get());
  REQUIRE(alone);
  CHECK(alone->intermediates.empty());
  CHECK(connects(*alone->issue(workload("curl"), hours(1), now()),
                 *alone->issue(workload("echo"), hours(1), now())));
}

TEST_CASE("CA files that do not fit together are refused by name") {
  LocalCa root = new_root(), other = new_root();
  PrivateKeyPtr key = *make_p256_key();
  X509Ptr middle = mint_intermediate(root, key.get());
  Issued leaf = *root.issue(workload("echo"), hours(1), now());
  struct Case {
    std::string certificates;
    EVP_PKEY* key;
    const char* error;
  };
  const Case cases[] = {
      {to_pem(root.issuer.get()), other.key.get(),
       "key.pem is not the key of the first certificate in ca.pem"},
      {to_pem(leaf_of(leaf)), leaf.key.get(), "ca.pem: certificate 1 is not a CA's"},
      {to_pem(root.issuer.get()) + to_pem(leaf_of(leaf)), root.key.get(),
       "ca.pem: certificate 2 is not a CA's"},
      {to_pem(middle.get()) + to_pem(other.issuer.get()), key.get(), "does not lead to any root"},
      {"garbage", root.key.get(), "ca.pem: no certificate"},
  };
  for (const Case& c : cases) {
    Result<LocalCa> ca = parse(c.certificates, c.key);
    REQUIRE_FALSE(ca);
    CHECK(ca.error().code == Errc::invalid);
    CHECK_THAT(ca.error().detail, Contains(c.error));
  }
}

TEST_CASE("a signer takes a changed CA, and keeps the former one over a bad edit") {
  ScratchDir dir;
  LocalCa first = new_root(), second = new_root();
  std::string cert = dir.write("ca.pem", to_pem(first.issuer.get())),
              key = dir.write("key.pem", to_pem(first.key.get()));
  std::unique_ptr<Signer> signer = *local_ca_signer(cert, key, hours(1));
  CHECK(signer->refresh() == false);
  CHECK(connects(sign_now(*signer, "curl"), *first.issue(workload("echo"), hours(1), now())));

  dir.write("ca.pem", to_pem(second.issuer.get()));  // the key does not fit yet
  Result<bool> half = signer->refresh();
  REQUIRE_FALSE(half);
  CHECK_THAT(half.error().detail, Contains(key) && Contains(cert));
  CHECK(signer->refresh() == false);  // one report per change
  CHECK(connects(sign_now(*signer, "curl"), *first.issue(workload("echo"), hours(1), now())));

  dir.write("key.pem", to_pem(second.key.get()));
  CHECK(signer->refresh() == true);
  CHECK(connects(sign_now(*signer, "curl"), *second.issue(workload("echo"), hours(1), now())));
  CHECK_FALSE(connects(sign_now(*signer, "curl"), *first.issue(workload("echo"), hours(1), now())));
}

TEST_CASE("a signer without its files says which one") {
  ScratchDir dir;
  LocalCa ca = new_root();
  std::string cert = dir.write("ca.pem", to_pem(ca.issuer.get()));
  Result<std::unique_ptr<Signer>> no_key = local_ca_signer(cert, dir.file("none.pem"), hours(1));
  REQUIRE_FALSE(no_key);
  CHECK(no_key.error().code == Errc::io);
  CHECK_THAT(no_key.error().detail, Contains("none.pem") && Contains("No such file"));
  Result<std::unique_ptr<Signer>> no_cert = local_ca_signer(dir.path, cert, hours(1));
  REQUIRE_FALSE(no_cert);
  CHECK_THAT(no_cert.error().detail, Contains(dir.path));
}
