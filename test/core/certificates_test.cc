// SPDX-License-Identifier: Apache-2.0
#include "core/certificates.h"

#include <openssl/ssl.h>

#include <atomic>
#include <thread>

#include "core/local_ca.h"
#include "core/tls.h"
#include "test/support/catch.h"
#include "test/support/mint.h"
#include "test/support/tls_pair.h"

using namespace ambientd;
using namespace ambientd::test;
using Catch::Matchers::Contains;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

namespace {

const TimePoint kStart = std::chrono::floor<seconds>(std::chrono::system_clock::now());

// Answers when the test says so, with certificates of one hour from `now`.
class FakeSigner final : public Signer {
 public:
  struct Order {
    Identity identity;
    Done done;
  };

  void sign(const Identity& identity, Done done) override { orders.push_back({identity, std::move(done)}); }
  Result<bool> refresh() override { return std::exchange(changed, false); }
  ~FakeSigner() override {
    for (Order& order : orders) order.done(fail(Errc::closed, "the signer is gone"));
  }

  Order take() {
    REQUIRE_FALSE(orders.empty());
    Order order = std::move(orders.front());
    orders.erase(orders.begin());
    return order;
  }
  void answer() {
    Order order = take();
    order.done(ca.issue(order.identity, life, now));
  }
  void refuse() { take().done(fail(Errc::io, "the CA is away")); }

  LocalCa ca = new_root();
  TimePoint now = kStart;
  seconds life = hours(1);
  Result<bool> changed = false;
  std::vector<Order> orders;
};

struct Fixture {
  FakeSigner* signer = new FakeSigner;  // owned by `certificates`
  int changes = 0;
  std::vector<std::string> failures;
  Certificates certificates{
      std::unique_ptr<Signer>(signer),
      {[this] { changes++; }, [this](const Error& e) { failures.push_back(e.detail); }}};
  const Identity echo = workload("echo");

  Fixture() { certificates.tick(kStart); }
  TimePoint tick(TimePoint now) {
    signer->now = now;
    return certificates.tick(now);
  }
  WorkloadCertificatePtr start() {
    certificates.get(echo, [](Result<WorkloadCertificatePtr>) {});
    signer->answer();
    certificates.tick(kStart);
    return certificates.current(echo);
  }
  std::string state() const { return certificates.list().front().state; }
};

}  // namespace

TEST_CASE("however many ask for a certificate, it is signed once and all get it") {
  Fixture f;
  std::vector<WorkloadCertificatePtr> got;
  for (int i = 0; i < 3; i++)
    f.certificates.get(f.echo, [&](Result<WorkloadCertificatePtr> c) { got.push_back(*c); });
  CHECK(f.signer->orders.size() == 1);
  CHECK(got.empty());
  CHECK(f.state() == "Initializing");
  CHECK_FALSE(f.certificates.current(f.echo));
  f.signer->answer();
  REQUIRE(got.size() == 3);
  CHECK((got[0] == got[1] && got[1] == got[2]));
  CHECK(f.certificates.current(f.echo) == got[0]);
  CHECK(f.state() == "Available");
  CHECK(f.changes == 1);
  f.certificates.get(f.echo, [&](Result<WorkloadCertificatePtr> c) { got.push_back(*c); });
  CHECK(got.size() == 4);
  CHECK(f.signer->orders.empty());
}

TEST_CASE("a certificate is renewed at half of its life, not before, and the new one replaces it") {
  Fixture f;
  WorkloadCertificatePtr first = f.start();
  TimePoint half = first->half_life();
  CHECK(half > kStart + minutes(28));
  CHECK(f.tick(half - seconds(30)) == half - seconds(29));
  CHECK(f.signer->orders.empty());
  CHECK(f.tick(half - std::chrono::milliseconds(1)) == half);
  CHECK(f.signer->orders.empty());
  f.tick(half);
  REQUIRE(f.signer->orders.size() == 1);
  f.tick(half + seconds(5));
  CHECK(f.signer->orders.size() == 1);  // one at a time
  CHECK(f.certificates.current(f.echo) == first);
  f.signer->answer();
  CHECK(f.certificates.current(f.echo) != first);
  f.tick(half + seconds(6));
  CHECK(f.signer->orders.empty());
}

TEST_CASE("a certificate of ten seconds is renewed within its life, again and again") {
  Fixture f;
  f.signer->life = seconds(10);
  WorkloadCertificatePtr last = f.start();
  int renewals = 0;
  for (TimePoint now = kStart; now < kStart + seconds(60); now += std::chrono::milliseconds(500)) {
    f.tick(now);
    if (!f.signer->orders.empty()) {
      f.signer->answer();
      renewals++;
    }
    REQUIRE(f.certificates.current(f.echo));
    REQUIRE(f.certificates.current(f.echo)->not_after > now);
  }
  CHECK(renewals >= 10);
  CHECK(renewals <= 14);
  CHECK(f.failures.empty());
}

TEST_CASE(
    "a failed renewal keeps the old certificate until it expires, and is tried again ever more slowly") {
  Fixture f;
  WorkloadCertificatePtr first = f.start();
  std::vector<TimePoint> tries;
  for (TimePoint now = first->half_life(); now < first->not_after; now += seconds(1)) {
    f.tick(now);
    if (f.signer->orders.empty()) continue;
    tries.push_back(now);
    f.signer->refuse();
    f.tick(now);
    CHECK(f.certificates.current(f.echo) == first);
    CHECK(f.state() == "Available");
  }
  REQUIRE(tries.size() > 8);
  CHECK(tries.size() < 30);
  CHECK(tries[1] - tries[0] <= seconds(2));
  CHECK(tries.back() - tries[tries.size() - 2] >= seconds(120));
  CHECK(tries.back() - tries[tries.size() - 2] <= seconds(181));
  CHECK_THAT(f.failures.front(),
             Contains("spiffe://cluster.local/ns/default/sa/echo, the current one stays in use"));
  CHECK_THAT(f.failures.front(), Contains("the CA is away"));

  f.changes = 0;
  f.tick(first->not_after);
  CHECK_FALSE(f.certificates.current(f.echo));
  CHECK(f.state() == "Unavailable: the CA is away");
  CHECK(f.changes == 1);
  std::optional<Error> error;
  f.certificates.get(f.echo, [&](Result<WorkloadCertificatePtr> c) { error = c.error(); });
  REQUIRE(error);
  CHECK(error->code == Errc::identity);
  CHECK(error->detail == "the CA is away");
}

TEST_CASE("the moment of expiry is one for a retry, and a late answer still helps") {
  Fixture f;
  WorkloadCertificatePtr first = f.start();
  f.tick(first->half_life());
  TimePoint half_a_second_left = first->not_after - std::chrono::milliseconds(500);
  CHECK(f.tick(half_a_second_left) == first->not_after);
  f.tick(first->not_after);  // not answered yet
  CHECK_THAT(f.state(), Contains("has expired"));
  f.signer->answer();
  CHECK(f.state() == "Available");
}

TEST_CASE("a first failure is told to all who wait, and a retry mends it") {
  Fixture f;
  int refused = 0;
  for (int i = 0; i < 2; i++)
    f.certificates.get(
        f.echo, [&](Result<WorkloadCertificatePtr> c) { refused += !c && c.error().code == Errc::identity; });
  f.signer->refuse();
  CHECK(refused == 2);
  CHECK(f.state() == "Unavailable: the CA is away");
  CHECK_THAT(f.failures.front(), !Contains("stays in use"));
  f.certificates.get(f.echo, [&](Result<WorkloadCertificatePtr> c) { refused += !c; });
  CHECK(refused == 3);
  CHECK(f.signer->orders.empty());
  f.tick(kStart);
  CHECK(f.signer->orders.empty());
  f.tick(kStart + seconds(2));
  f.signer->answer();
  CHECK(f.state() == "Available");
}

TEST_CASE("changed roots take effect at the next tick, and the old trust is gone") {
  Fixture f;
  WorkloadCertificatePtr before = f.start();
  Identity curl = workload("curl");
  WorkloadCertificatePtr peer = *make_workload_certificate(curl, *f.signer->ca.issue(curl, hours(1), kStart));
  TlsPair good(peer->client.get(), f.certificates.current(f.echo)->server.get());
  expect_peers(good.client.get(), {f.echo});
  REQUIRE(good.handshake());

  f.signer->ca = new_root();
  f.signer->changed = true;
  f.tick(kStart + seconds(1));
  CHECK(f.certificates.current(f.echo) == before);
  f.signer->answer();
  WorkloadCertificatePtr after = f.certificates.current(f.echo);
  CHECK(after != before);
  CHECK(after->root_ids != before->root_ids);
  CHECK_FALSE(after->trusts(peer_check(good.server.get()).root));
  TlsPair bad(peer->client.get(), after->server.get());
  expect_peers(bad.client.get(), {f.echo});
  CHECK_FALSE(bad.handshake());
}

TEST_CASE("an answer from before a change of roots is dropped, and who waited gets the later one") {
  Fixture f;
  WorkloadCertificatePtr got;
  f.certificates.get(f.echo, [&](Result<WorkloadCertificatePtr> c) { got = *c; });
  LocalCa old = std::exchange(f.signer->ca, new_root());
  f.signer->changed = true;
  f.tick(kStart + seconds(1));
  REQUIRE(f.signer->orders.size() == 2);
  FakeSigner::Order stale = f.signer->take();
  stale.done(old.issue(f.echo, hours(1), kStart));
  CHECK_FALSE(got);
  f.signer->answer();
  REQUIRE(got);
  CHECK(got->trusts(fingerprint(f.signer->ca.roots.front().get())));
}

TEST_CASE("a bad edit of the signer's files is one report, and nothing is renewed") {
  Fixture f;
  f.start();
  f.signer->changed = fail(Errc::invalid, "/etc/ca.pem: no certificate in it");
  f.tick(kStart + seconds(1));
  CHECK(f.signer->orders.empty());
  REQUIRE(f.failures.size() == 1);
  CHECK_THAT(f.failures.front(), Contains("/etc/ca.pem"));
  CHECK(f.state() == "Available");
}

TEST_CASE("a certificate that is past its half-life when it comes is not asked for in a circle") {
  Fixture f;
  f.signer->now = kStart - minutes(50);
  f.certificates.get(f.echo, [](Result<WorkloadCertificatePtr>) {});
  f.signer->answer();
  int asked = 0;
  for (TimePoint now = kStart; now < kStart + minutes(9); now += seconds(1)) {
    f.certificates.tick(now);
    if (f.signer->orders.empty()) continue;
    asked++;
    f.signer->answer();  // the same old validity
    f.certificates.tick(now);
  }
  CHECK(asked >= 8);
  CHECK(asked <= 20);
}

TEST_CASE("a certificate that has expired when it comes is a failure") {
  Fixture f;
  f.signer->now = kStart - hours(2);
  std::optional<Error> error;
  f.certificates.get(f.echo, [&](Result<WorkloadCertificatePtr> c) { error = c.error(); });
  f.signer->answer();
  REQUIRE(error);
  CHECK_THAT(error->detail, Contains("already expired"));
  CHECK_FALSE(f.certificates.current(f.echo));
}

TEST_CASE("a certificate that is found expired by the first tick is retired and asked for again") {
  auto* signer = new FakeSigner;  // owned by the cache
  Certificates certificates{std::unique_ptr<Signer>(signer)};
  signer->now = kStart - hours(2);
  certificates.get(workload("echo"), [](Result<WorkloadCertificatePtr>) {});
  signer->answer();
  certificates.tick(kStart);
  CHECK_FALSE(certificates.current(workload("echo")));
  CHECK_THAT(certificates.list().front().state, Contains("has expired"));
  certificates.tick(kStart + seconds(2));
  REQUIRE(signer->orders.size() == 1);
  signer->now = kStart;
  signer->answer();
  CHECK(certificates.current(workload("echo")));
}

TEST_CASE("a forgotten identity is not renewed, its waiters fail, a late answer is dropped") {
  Fixture f;
  std::optional<Error> error;
  f.certificates.get(f.echo, [&](Result<WorkloadCertificatePtr> c) { error = c.error(); });
  f.certificates.forget(f.echo);
  REQUIRE(error);
  CHECK(error->code == Errc::closed);
  f.signer->answer();
  CHECK(f.certificates.list().empty());
  f.tick(kStart + hours(1));
  CHECK(f.signer->orders.empty());
}

TEST_CASE("the end of the cache answers whoever still waits, once") {
  int answers = 0;
  {
    Fixture f;
    f.certificates.get(
        f.echo, [&](Result<WorkloadCertificatePtr> c) { answers += !c && c.error().code == Errc::closed; });
  }
  CHECK(answers == 1);
}

TEST_CASE("identities are listed in order, each with its own certificate") {
  Fixture f;
  for (const char* sa : {"b", "a", "c"}) {
    f.certificates.get(workload(sa), [](Result<WorkloadCertificatePtr>) {});
    f.signer->answer();
  }
  std::vector<Certificates::Listed> list = f.certificates.list();
  REQUIRE(list.size() == 3);
  CHECK(list[0].identity == workload("a"));
  CHECK(list[2].identity == workload("c"));
  CHECK(list[1].certificate->identity == workload("b"));
}

TEST_CASE("many threads may ask at once while ticks renew") {
  ScratchDir dir;
  LocalCa ca = new_root();
  std::string cert = dir.write("ca.pem", to_pem(ca.issuer.get())),
              key = dir.write("key.pem", to_pem(ca.key.get()));
  Certificates certificates(*local_ca_signer(cert, key, seconds(10)));
  std::atomic<int> good = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; t++)
    threads.emplace_back([&] {
      for (int i = 0; i < 20; i++)
        certificates.get(workload("sa" + std::to_string(i % 3)),
                         [&](Result<WorkloadCertificatePtr> c) { good += c.has_value(); });
    });
  for (int i = 0; i < 8; i++) certificates.tick(std::chrono::system_clock::now() + seconds(i));
  for (std::thread& thread : threads) thread.join();
  CHECK(good == 80);
  CHECK(certificates.list().size() == 3);
}
