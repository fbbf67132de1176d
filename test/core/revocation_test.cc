// SPDX-License-Identifier: Apache-2.0
#include "core/revocation.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "core/identity.h"
#include "core/tls.h"
#include "test/support/catch.h"
#include "test/support/mint.h"
#include "test/support/tls_pair.h"

using namespace ambientd;
using namespace ambientd::test;
using Catch::Matchers::Contains;

namespace {

Issued leaf(const LocalCa& ca, const std::string& sa) {
  return *ca.issue(workload(sa), std::chrono::hours(1), std::chrono::system_clock::now());
}

RevocationListsPtr lists(const std::string& text) {
  Result<RevocationListsPtr> parsed = RevocationLists::parse(text, "crl.pem");
  REQUIRE(parsed);
  return *parsed;
}

std::shared_ptr<Revocations> revocations(const std::string& text) {
  return std::make_shared<Revocations>(lists(text));
}

Status check(const RevocationListsPtr& from, std::vector<X509*> chain) {
  STACK_OF(X509)* stack = sk_X509_new_null();
  for (X509* each : chain) sk_X509_push(stack, each);
  Status out = from->check(stack);
  sk_X509_free(stack);
  return out;
}

// A CA below `root`, which signs its own leaves.
LocalCa below(const LocalCa& root, const std::string& name) {
  LocalCa out;
  out.key = *make_p256_key();
  out.issuer = mint({.uris = {}, .dns = {}, .common_name = name, .eku = "", .ca = true}, out.key.get(),
                    root.issuer.get(), root.key.get());
  out.intermediates.push_back(share(out.issuer.get()));
  out.roots.push_back(share(root.issuer.get()));
  return out;
}

std::string der_of(const std::string& pem) {
  BIO* bio = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  X509_CRL* list = PEM_read_bio_X509_CRL(bio, nullptr, nullptr, nullptr);
  BIO_free(bio);
  unsigned char* bytes = nullptr;
  int size = i2d_X509_CRL(list, &bytes);
  std::string out(reinterpret_cast<char*>(bytes), static_cast<size_t>(size));
  OPENSSL_free(bytes);
  X509_CRL_free(list);
  return out;
}

// Whether client and server of one mesh come together, and what each said.
TlsPair pair_of(const Issued& client, const Issued& server, const TlsRules& of_client,
                const TlsRules& of_server) {
  WorkloadCertificatePtr curl = *make_workload_certificate(workload("curl"), client, of_client);
  WorkloadCertificatePtr echo = *make_workload_certificate(workload("echo"), server, of_server);
  TlsPair pair(curl->client.get(), echo->server.get());
  expect_peers(pair.client.get(), {workload("echo")});
  return pair;
}

}  // namespace

TEST_CASE("a list revokes the certificates it names, of its own issuer") {
  LocalCa ca = new_root(), other = new_root();
  Issued bad = leaf(ca, "bad"), good = leaf(ca, "good");
  X509* root = ca.issuer.get();
  RevocationListsPtr from = lists(mint_crl(ca, {.revoked = {bad.chain[0].get()}}));
  Status revoked = check(from, {bad.chain[0].get(), root});
  REQUIRE_FALSE(revoked);
  CHECK(revoked.error().code == Errc::revoked);
  CHECK_THAT(revoked.error().detail, Contains("revoked (serial number " + serial_number(bad.chain[0].get())));
  CHECK(check(from, {good.chain[0].get(), root}));
  CHECK(check(from, {root}));
  CHECK(check(from, {}));
  CHECK(from->size() == 1);
  CHECK(from->revoked() == 1);
}

TEST_CASE("a revoked intermediate takes its leaves with it") {
  LocalCa root = new_root(), middle = below(root, "middle");
  Issued issued = leaf(middle, "curl");
  RevocationListsPtr from = lists(mint_crl(root, {.revoked = {middle.issuer.get()}}));
  Status revoked = check(from, {issued.chain[0].get(), middle.issuer.get(), root.issuer.get()});
  REQUIRE_FALSE(revoked);
  CHECK(revoked.error().code == Errc::revoked);
}

TEST_CASE("a list past its nextUpdate still revokes") {
  LocalCa ca = new_root();
  Issued bad = leaf(ca, "bad");
  RevocationListsPtr from =
      lists(mint_crl(ca, {.revoked = {bad.chain[0].get()}, .until = std::chrono::seconds(-3600)}));
  CHECK_FALSE(check(from, {bad.chain[0].get(), ca.issuer.get()}));
}

TEST_CASE("a list with the issuer's name and another key refuses, unless it says whose key it is") {
  LocalCa ca = mint_ca("one name", *make_p256_key()), impostor = mint_ca("one name", *make_p256_key());
  Issued good = leaf(ca, "good");
  Status refused = check(lists(mint_crl(impostor, {})), {good.chain[0].get(), ca.issuer.get()});
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Errc::tls);
  CHECK_THAT(refused.error().detail, Contains("is not signed by the CA"));
  RevocationListsPtr both =
      lists(mint_crl(impostor, {.extensions = {{NID_authority_key_identifier, "keyid"}}}) +
            mint_crl(ca, {.extensions = {{NID_authority_key_identifier, "keyid"}}}));
  CHECK(both->size() == 2);
  CHECK(check(both, {good.chain[0].get(), ca.issuer.get()}));
}

TEST_CASE("lists come as PEM blocks, as DER, or not at all") {
  LocalCa ca = new_root(), other = new_root();
  std::string one = mint_crl(ca, {}), two = mint_crl(other, {});
  CHECK(lists("a comment\n" + one + to_pem(ca.issuer.get()) + two)->size() == 2);
  CHECK(lists(der_of(one))->size() == 1);
  CHECK(lists("")->size() == 0);
  CHECK(lists(" \n")->size() == 0);
}

TEST_CASE("what is no revocation list is one error that names its source") {
  LocalCa ca = new_root();
  std::string good = mint_crl(ca, {}), broken = good, many;
  broken.replace(broken.size() / 2, 4, "!!!!");
  for (int i = 0; i < 101; i++) many += good;
  struct Case {
    std::string text;
    const char* words;
  };
  const Case cases[] = {
      {"garbage", "no revocation list in it"},
      {to_pem(ca.issuer.get()), "no revocation list in it"},
      {broken, "revocation list 1 does not parse"},
      {good + broken, "revocation list 2 does not parse"},
      {good.substr(0, good.size() - 40), "revocation list 1 does not parse"},
      {der_of(good) + "x", "no revocation list in it"},
      {many, "more than 100 revocation lists"},
      {std::string((4 << 20) + 1, ' '), "larger than 4 MiB"},
      {mint_crl(ca, {.extensions = {{NID_delta_crl, "critical,DER:020101"}}}), "is a delta list"},
      {mint_crl(ca, {.extensions = {{NID_issuing_distribution_point, "critical,indirectCRL:TRUE"}}}),
       "is an indirect list"},
      {mint_crl(ca, {.extensions = {{NID_policy_constraints, "critical,inhibitPolicyMapping:0"}}}),
       "critical extension that is not known here"},
  };
  for (const Case& c : cases) {
    INFO(c.words);
    Result<RevocationListsPtr> parsed = RevocationLists::parse(c.text, "some.pem");
    REQUIRE_FALSE(parsed);
    CHECK(parsed.error().code == Errc::invalid);
    CHECK_THAT(parsed.error().detail, Contains("some.pem: ") && Contains(c.words));
    CHECK(ERR_peek_error() == 0);
  }
  CHECK(lists(mint_crl(ca, {.extensions = {{NID_issuing_distribution_point, "critical,onlyuser:TRUE"},
                                           {NID_crl_number, "DER:020107"}}})));
}

TEST_CASE("either side refuses a revoked peer in the handshake, with the alert for it") {
  LocalCa ca = new_root();
  Issued curl = leaf(ca, "curl"), echo = leaf(ca, "echo");
  TlsRules no_curl{.revocations = revocations(mint_crl(ca, {.revoked = {curl.chain[0].get()}}))};
  TlsRules no_echo{.revocations = revocations(mint_crl(ca, {.revoked = {echo.chain[0].get()}}))};
  for (bool tls12 : {false, true}) {
    no_curl.tls12 = no_echo.tls12 = tls12;
    TlsPair client = pair_of(curl, echo, {}, no_curl);
    CHECK_FALSE(client.handshake());
    REQUIRE(client.server_error);
    CHECK(client.server_error->code == Errc::revoked);
    REQUIRE(client.client_error);
    CHECK_THAT(client.client_error->detail, Contains("certificate revoked"));

    TlsPair server = pair_of(curl, echo, no_echo, {});
    CHECK_FALSE(server.handshake());
    REQUIRE(server.client_error);
    CHECK(server.client_error->code == Errc::revoked);
    CHECK(pair_of(curl, echo, no_curl, no_echo).handshake());  // each is only in the list it holds itself
  }
}

TEST_CASE("what counts is the chain that was verified, not the one the peer showed") {
  LocalCa root = new_root(), middle = below(root, "middle"), cross = below(root, "middle");
  // The same CA twice: one certificate of it is revoked, and the peer shows the other as well.
  cross.key = share(middle.key.get());
  cross.issuer = mint({.uris = {}, .dns = {}, .common_name = "middle", .eku = "", .ca = true},
                      middle.key.get(), root.issuer.get(), root.key.get());
  Issued curl = leaf(middle, "curl"), echo = leaf(root, "echo");
  curl.chain.push_back(share(cross.issuer.get()));
  for (X509* revoked : {middle.issuer.get(), cross.issuer.get()}) {
    TlsRules rules{.revocations = revocations(mint_crl(root, {.revoked = {revoked}}))};
    TlsPair pair = pair_of(curl, echo, {}, rules);
    bool passed = pair.handshake();
    STACK_OF(X509)* chain = SSL_get0_verified_chain(pair.server.get());
    bool used = !passed || X509_cmp(sk_X509_value(chain, 1), revoked) == 0;
    CHECK(used == !passed);
  }
}

TEST_CASE("an established connection is looked at again with the lists in force") {
  LocalCa ca = new_root();
  Issued curl = leaf(ca, "curl"), echo = leaf(ca, "echo");
  std::shared_ptr<Revocations> now = revocations("");
  TlsPair pair = pair_of(curl, echo, {.revocations = now}, {.revocations = now});
  REQUIRE(pair.handshake());
  CHECK(check_revoked(pair.server.get()));
  now->replace(lists(mint_crl(ca, {.revoked = {curl.chain[0].get()}})));
  Status gone = check_revoked(pair.server.get());
  REQUIRE_FALSE(gone);
  CHECK(gone.error().code == Errc::revoked);
  CHECK(check_revoked(pair.client.get()));
}

TEST_CASE("a file that is missing or broken is an error with what to do") {
  ScratchDir dir;
  LocalCa ca = new_root();
  CHECK_THAT(RevocationFile::open(dir.file("none.pem")).error().detail,
             Contains("none.pem: No such file") && Contains("unset CRL_PATH"));
  CHECK_THAT(RevocationFile::open(dir.write("bad.pem", "x")).error().detail,
             Contains("bad.pem: no revocation list in it") && Contains("unset CRL_PATH"));
  CHECK(RevocationFile::open(dir.write("empty.pem", "")));
}

TEST_CASE("a changed file is read once it has settled, and a bad edit keeps the former lists") {
  ScratchDir dir;
  LocalCa ca = new_root();
  Issued a = leaf(ca, "a"), b = leaf(ca, "b");
  std::string path = dir.write("crl.pem", mint_crl(ca, {}));
  std::unique_ptr<RevocationFile> file = std::move(*RevocationFile::open(path));
  auto revoked = [&] { return file->lists()->current()->revoked(); };
  CHECK_FALSE(*file->refresh());
  dir.write("crl.pem", mint_crl(ca, {.revoked = {a.chain[0].get()}}));
  CHECK_FALSE(*file->refresh());
  dir.write("crl.pem", mint_crl(ca, {.revoked = {a.chain[0].get(), b.chain[0].get()}}));
  CHECK_FALSE(*file->refresh());  // it is still being changed
  CHECK(revoked() == 0);
  CHECK(*file->refresh());
  CHECK(revoked() == 2);
  CHECK_FALSE(*file->refresh());

  dir.write("crl.pem", "garbage");
  CHECK_FALSE(*file->refresh());
  Result<bool> bad = file->refresh();
  REQUIRE_FALSE(bad);
  CHECK_THAT(bad.error().detail, Contains("the former ones stay in force") && Contains("crl.pem: "));
  CHECK(revoked() == 2);
  CHECK(*file->refresh() == false);  // said once

  std::remove(path.c_str());
  CHECK_FALSE(*file->refresh());
  CHECK_THAT(file->refresh().error().detail, Contains("No such file"));
  CHECK(revoked() == 2);
  dir.write("crl.pem", "");
  CHECK_FALSE(*file->refresh());
  CHECK(*file->refresh());
  CHECK(revoked() == 0);
}
