// SPDX-License-Identifier: Apache-2.0
#include "core/identity.h"

#include "core/tls.h"
#include "test/support/catch.h"
#include "test/support/mint.h"
#include "test/support/tls_pair.h"

using namespace ambientd;
using namespace ambientd::test;
using Catch::Matchers::Contains;

namespace {

Issued issue(const LocalCa& ca, const std::string& sa) {
  return *ca.issue(workload(sa), std::chrono::hours(1), std::chrono::system_clock::now());
}

}  // namespace

TEST_CASE("a workload certificate holds both contexts and its own description") {
  LocalCa ca = new_root();
  WorkloadCertificatePtr echo = *make_workload_certificate(workload("echo"), issue(ca, "echo"));
  WorkloadCertificatePtr curl = *make_workload_certificate(workload("curl"), issue(ca, "curl"));
  CHECK(echo->identity == workload("echo"));
  REQUIRE(echo->chain.size() == 1);
  REQUIRE(echo->roots.size() == 1);
  CHECK(echo->not_after == echo->chain.front().not_after);
  CHECK(echo->half_life() - echo->not_before == echo->not_after - echo->half_life());
  TlsPair pair(curl->client.get(), echo->server.get());
  expect_peers(pair.client.get(), {echo->identity});
  REQUIRE(pair.handshake());
  CHECK(echo->trusts(peer_check(pair.server.get()).root));
  LocalCa other = new_root();
  WorkloadCertificatePtr moved = *make_workload_certificate(workload("echo"), issue(other, "echo"));
  CHECK_FALSE(moved->trusts(peer_check(pair.server.get()).root));
  CHECK_FALSE(echo->trusts(""));
  CHECK(echo->root_ids == curl->root_ids);
  CHECK(echo->root_ids != moved->root_ids);
}

TEST_CASE("a server takes aliases of its trust domain when it is told them") {
  LocalCa ca = new_root();
  Identity old{"old.local", "default", "curl"};
  WorkloadCertificatePtr client = *make_workload_certificate(old, mint_leaf(ca, {.uris = {old.uri()}}));
  for (bool alias : {true, false}) {
    TlsRules rules;
    if (alias) rules.aliases.push_back("old.local");
    WorkloadCertificatePtr echo = *make_workload_certificate(workload("echo"), issue(ca, "echo"), rules);
    TlsPair pair(client->client.get(), echo->server.get());
    expect_peers(pair.client.get(), {workload("echo")});
    CHECK(pair.handshake() == alias);
  }
}

TEST_CASE("what was issued wrongly is not taken into use") {
  LocalCa ca = new_root();
  auto error_of = [](Issued issued) {
    Result<WorkloadCertificatePtr> made = make_workload_certificate(workload("echo"), issued);
    return made ? std::string("none") : made.error().detail;
  };
  CHECK(error_of(issue(ca, "echo")) == "none");
  CHECK_THAT(error_of(issue(ca, "curl")),
             Contains("did not find expected SAN: spiffe://cluster.local/ns/default/sa/echo"));
  CHECK_THAT(error_of(mint_leaf(ca, {.uris = {workload("echo").uri(), workload("x").uri()}})),
             Contains("more than one URI SAN"));
  CHECK_THAT(error_of({}), Contains("without a leaf"));

  Issued no_root = issue(ca, "echo");
  no_root.roots.clear();
  CHECK_THAT(error_of(std::move(no_root)), Contains("no root certificate present"));
  Issued other_key = issue(ca, "echo");
  other_key.key = *make_p256_key();
  CHECK_THAT(error_of(std::move(other_key)), Contains("does not belong to its private key"));
  Issued leaf_as_root = issue(ca, "echo");
  leaf_as_root.roots.push_back(share(leaf_as_root.chain.front().get()));
  CHECK_THAT(error_of(std::move(leaf_as_root)), Contains("is no CA certificate"));
}
