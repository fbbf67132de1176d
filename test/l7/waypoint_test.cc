// SPDX-License-Identifier: Apache-2.0
// The whole waypoint on loopback sockets, between a client that holds a workload's certificate and a ztunnel
// that terminates what the waypoint sends.
#include "l7/waypoint.h"

#include "core/log.h"
#include "core/tls.h"
#include "core/tls_stream.h"
#include "hbone/connect.h"
#include "test/support/catch.h"
#include "test/support/http_script.h"
#include "test/support/mint.h"
#include "test/support/run.h"

using namespace ambientd;
using Catch::Contains;

namespace {

class TestSigner final : public Signer {
 public:
  explicit TestSigner(const LocalCa& ca) : ca_(&ca) {}
  void sign(const Identity& identity, Done done) override {
    done(ca_->issue(identity, std::chrono::hours(1), std::chrono::system_clock::now()));
  }
  Result<bool> refresh() override { return std::exchange(changed_, false); }
  void change_to(const LocalCa& ca) {
    ca_ = &ca;
    changed_ = true;
  }

 private:
  const LocalCa* ca_;
  bool changed_ = false;
};

WorkloadCertificatePtr certificate_of(const LocalCa& ca, const std::string& sa) {
  Result<Issued> issued =
      ca.issue(test::workload(sa), std::chrono::hours(1), std::chrono::system_clock::now());
  REQUIRE(issued);
  Result<WorkloadCertificatePtr> made = make_workload_certificate(test::workload(sa), *issued);
  REQUIRE(made);
  return *made;
}

constexpr auto kAnswer = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

// A ztunnel at 127.0.0.3 that answers whatever comes through with kAnswer.
struct FakeZtunnel {
  explicit FakeZtunnel(WorkloadCertificatePtr its) : certificate(std::move(its)) {
    Result<Fd> fd = tcp_socket(false, 0);
    REQUIRE(fd);
    REQUIRE(listen_on(fd->get(), {*Ip::parse("127.0.0.3"), 0}, 16));
    gone.set();
    at = *local_address(fd->get());
    acceptor = std::make_unique<Acceptor>(
        std::move(*fd), [this](Fd each) { Loop::current().spawn("fake ztunnel", serve(std::move(each))); });
  }

  Task<void> serve(Fd fd) {
    SslPtr ssl(SSL_new(certificate->server.get()));
    SSL_set_accept_state(ssl.get());
    Scope scope;
    Result<std::unique_ptr<TlsStream>> tls =
        co_await TlsStream::handshake(std::move(fd), std::move(ssl), scope);
    if (!tls) co_return;
    gone.reset();
    client = peer_check((*tls)->ssl()).identity;
    hbone::Session session(hbone::Session::Role::server, **tls, {},
                           [this](std::unique_ptr<hbone::Exchange> tunnel) {
                             Loop::current().spawn("fake application", answer(std::move(tunnel)));
                           });
    Status ended = co_await session.run();
    CHECK(session.exchanges() == 0);
    gone.set();
  }

  Task<void> answer(std::unique_ptr<hbone::Exchange> tunnel) {
    connects.push_back(tunnel->head());
    Status accepted = tunnel->respond({{":status", "200"}}, false);
    CHECK(accepted);
    std::string request;
    bool came = co_await test::read_until(*tunnel, "\r\n\r\n", request);
    if (came && hold) {
      asked.set();
      co_await release;
    }
    if (came) accepted = co_await test::send_text(*tunnel, kAnswer);
    std::string rest;
    co_await test::read_all(*tunnel, rest);
    tunnel->finish();
  }

  WorkloadCertificatePtr certificate;
  std::unique_ptr<Acceptor> acceptor;
  SockAddr at;
  std::optional<Identity> client;  // who dialled last
  std::vector<hbone::Headers> connects;
  bool hold = false;  // answer only after release
  Event asked{"a held request"}, release{"release"};
  Event gone{"end of the connection"};  // set while there is none

  FakeZtunnel(const FakeZtunnel&) = delete;
};

config::Mesh loopback_mesh() {
  config::Mesh mesh = test::small_mesh();
  mesh.workloads[2].addresses = {*Ip::parse("127.0.0.3")};
  return mesh;
}

// The mesh, the waypoint and both its neighbours. The waypoint's workers are threads of their own.
struct Site {
  explicit Site(std::string ztunnel_sa = "reviews") : ztunnel(certificate_of(ca, ztunnel_sa)) {
    log::redirect_to([this](std::string_view line) {
      std::lock_guard lock(mutex);
      log.emplace_back(line);
    });
    settings.pod = "waypoint-1";
    settings.identity = test::workload("waypoint");
    settings.port = 0;
    settings.upstream.hbone_port = ztunnel.at.port;
    waypoint = std::make_unique<l7::Waypoint>(workers, certificates, registry, settings);
    Status started = waypoint->start();
    REQUIRE(started);
    waypoint->publish(config::Snapshot::build(loopback_mesh()));
  }
  ~Site() {
    waypoint.reset();
    log::redirect_to(nullptr);
  }
  std::string all_of_log() {
    std::lock_guard lock(mutex);
    std::string all;
    for (const std::string& line : log) all += line + "\n";
    return all;
  }

  LocalCa ca = test::new_root(), next_ca = test::new_root();
  TestSigner* signer = new TestSigner(ca);  // of `certificates`
  Certificates certificates{std::unique_ptr<Signer>(signer)};
  metrics::Registry registry{3};
  Workers workers{2};
  FakeZtunnel ztunnel;
  l7::Settings settings;
  std::unique_ptr<l7::Waypoint> waypoint;
  std::mutex mutex;
  std::vector<std::string> log;  // guarded by mutex
};

// A client's HBONE connection to the waypoint.
struct Caller {
  static Task<Result<std::unique_ptr<Caller>>> dial(Site& site, std::string sa) {
    Result<Fd> socket = tcp_socket(false, 0);
    Scope scope;
    Result<Fd> connected =
        co_await connect(std::move(*socket), {Ip::loopback(false), site.waypoint->port()}, scope);
    if (!connected) co_return fail(connected.error());
    WorkloadCertificatePtr mine = certificate_of(site.ca, sa);
    SslPtr ssl(SSL_new(mine->client.get()));
    SSL_set_connect_state(ssl.get());
    expect_peers(ssl.get(), {test::workload("waypoint")});
    Result<std::unique_ptr<TlsStream>> tls =
        co_await TlsStream::handshake(std::move(*connected), std::move(ssl), scope);
    if (!tls) co_return fail(tls.error());
    auto caller = std::make_unique<Caller>(std::move(*tls));
    caller->running.start();
    co_return std::move(caller);
  }
  explicit Caller(std::unique_ptr<TlsStream> tls)
      : stream(std::move(tls)), session(hbone::Session::Role::client, *stream, {}), running(session.run()) {}

  // Sends a request and returns it with its answer's status.
  Task<std::unique_ptr<hbone::Exchange>> ask(hbone::Headers head, int& status) {
    Result<std::unique_ptr<hbone::Exchange>> exchange = session.request(head, false);
    REQUIRE(exchange);
    Status answered = co_await (*exchange)->headers();
    status = answered ? hbone::status_of((*exchange)->head()) : 0;
    co_return std::move(*exchange);
  }
  Task<void> leave() {
    session.drain();
    Status ended = co_await running;
    CHECK(session.exchanges() == 0);
  }

  std::unique_ptr<TlsStream> stream;
  hbone::Session session;
  Task<Status> running;
};

// Ends all connections, so that the test's loop can end.
Task<void> wind_up(Site& site) {
  Event done("drained");
  site.waypoint->drain(std::chrono::seconds(10), [&done] { done.set(); });
  co_await done;
  co_await site.ztunnel.gone;
  site.ztunnel.acceptor.reset();
}

hbone::Headers connect_to(std::string authority) {
  return {{":method", "CONNECT"}, {":authority", std::move(authority)}};
}

Task<void> request_through(Site& site, std::string expected) {
  Result<std::unique_ptr<Caller>> caller = co_await Caller::dial(site, "productpage");
  REQUIRE(caller);
  int status = 0;
  std::unique_ptr<hbone::Exchange> tunnel = co_await (*caller)->ask(connect_to("10.96.0.10:80"), status);
  CHECK(status == 200);
  Status sent = co_await test::send_text(*tunnel, "GET /reviews/0 HTTP/1.1\r\nHost: reviews:80\r\n\r\n");
  CHECK(sent);
  std::string got;
  bool came = co_await test::read_until(*tunnel, expected, got);
  INFO(got);
  CHECK(came);
  tunnel->finish();
  co_await test::read_all(*tunnel, got);
  tunnel.reset();
  co_await (*caller)->leave();
}

Task<void> whole_path(Site& site) {
  co_await request_through(site, "hello");
  REQUIRE(site.ztunnel.connects.size() == 1);
  CHECK(site.ztunnel.connects[0] == connect_to("127.0.0.3:8080"));
  CHECK(site.ztunnel.client == test::workload("waypoint"));
  CHECK(site.waypoint->pending().empty());
  co_await wind_up(site);
}

Task<void> impostor(Site& site) {
  co_await request_through(site, "503 Service Unavailable");
  co_await wind_up(site);
}

struct Refused {
  hbone::Headers head;
  int status;
};

Task<void> refuses(Site& site, Refused c) {
  Result<std::unique_ptr<Caller>> caller = co_await Caller::dial(site, "productpage");
  REQUIRE(caller);
  int status = 0;
  std::unique_ptr<hbone::Exchange> answer = co_await (*caller)->ask(c.head, status);
  CHECK(status == c.status);
  answer.reset();
  // The connection goes on.
  std::unique_ptr<hbone::Exchange> tunnel = co_await (*caller)->ask(connect_to("10.96.0.10:80"), status);
  CHECK(status == 200);
  tunnel->finish();
  std::string nothing;
  co_await test::read_all(*tunnel, nothing);
  tunnel.reset();
  co_await (*caller)->leave();
  co_await wind_up(site);
}

Task<void> stranger(Site& site) {
  LocalCa other = test::new_root();
  Result<Fd> socket = tcp_socket(false, 0);
  Scope scope;
  Result<Fd> connected =
      co_await connect(std::move(*socket), {Ip::loopback(false), site.waypoint->port()}, scope);
  REQUIRE(connected);
  WorkloadCertificatePtr theirs = certificate_of(other, "productpage");
  SslPtr ssl(SSL_new(theirs->client.get()));
  SSL_set_connect_state(ssl.get());
  expect_peers(ssl.get(), {test::workload("waypoint")});
  Result<std::unique_ptr<TlsStream>> tls =
      co_await TlsStream::handshake(std::move(*connected), std::move(ssl), scope);
  CHECK_FALSE(tls);
  co_await wind_up(site);
}

Task<void> root_removed(Site& site) {
  Result<std::unique_ptr<Caller>> caller = co_await Caller::dial(site, "productpage");
  REQUIRE(caller);
  int status = 0;
  std::unique_ptr<hbone::Exchange> refused = co_await (*caller)->ask(connect_to("10.96.0.10:1"), status);
  CHECK(status == 404);
  refused.reset();
  site.signer->change_to(site.next_ca);
  site.certificates.tick(std::chrono::system_clock::now());
  site.waypoint->certificates_changed();
  Status ended = co_await (*caller)->running;
  CHECK((*caller)->session.exchanges() == 0);
  co_await wind_up(site);
}

Task<void> drained(Site& site) {
  site.ztunnel.hold = true;
  Result<std::unique_ptr<Caller>> caller = co_await Caller::dial(site, "productpage");
  REQUIRE(caller);
  int status = 0;
  std::unique_ptr<hbone::Exchange> tunnel = co_await (*caller)->ask(connect_to("10.96.0.10:80"), status);
  Status sent = co_await test::send_text(*tunnel, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK(sent);
  co_await site.ztunnel.asked;
  Event done("drained");
  site.waypoint->drain(std::chrono::seconds(10), [&done] { done.set(); });
  site.ztunnel.release.set();
  std::string got;
  co_await test::read_all(*tunnel, got);
  CHECK_THAT(got, Contains("connection: close\r\n"));
  CHECK_THAT(got, Catch::EndsWith("hello"));
  tunnel.reset();
  Status ended = co_await (*caller)->running;
  CHECK((*caller)->session.exchanges() == 0);
  co_await done;
  Result<std::unique_ptr<Caller>> late = co_await Caller::dial(site, "productpage");
  CHECK_FALSE(late);
  co_await site.ztunnel.gone;
  site.ztunnel.acceptor.reset();
}

Task<void> port_taken(Site& site) {
  l7::Settings second = site.settings;
  second.port = site.waypoint->port();
  metrics::Registry registry(3);
  l7::Waypoint other(site.workers, site.certificates, registry, second);
  Status started = other.start();
  REQUIRE_FALSE(started);
  CHECK_THAT(started.error().detail, Contains(std::to_string(second.port)));
  co_await wind_up(site);
}

}  // namespace

TEST_CASE("a request crosses the waypoint: as itself, to the workload, with nothing but an authority") {
  Loop loop;
  Site site;
  test::run(loop, whole_path(site));
  CHECK_THAT(site.all_of_log(), Contains("\"GET /reviews/0 HTTP/1.1\" 200 - via_upstream"));
}

TEST_CASE("a ztunnel that proves to be another workload gets no request") {
  Loop loop;
  Site site("somebody-else");
  test::run(loop, impostor(site));
  CHECK(site.ztunnel.connects.empty());
  CHECK_THAT(site.all_of_log(), Contains(" 503 UF,URX "));
}

TEST_CASE("what is no CONNECT to a bound service is refused, and the connection stays") {
  auto c =
      GENERATE(Refused{{{":method", "GET"}, {":scheme", "https"}, {":authority", "a"}, {":path", "/"}}, 404},
               Refused{connect_to("192.0.2.1:80"), 404}, Refused{connect_to("10.96.0.10:1"), 404},
               Refused{connect_to("reviews.default.svc.cluster.local:80"), 400});
  Loop loop;
  Site site;
  test::run(loop, refuses(site, c));
}

TEST_CASE("a client of another root is refused in the handshake") {
  Loop loop;
  Site site;
  test::run(loop, stranger(site));
}

TEST_CASE("a client that was believed by a root that is gone is sent away") {
  Loop loop;
  Site site;
  test::run(loop, root_removed(site));
}

TEST_CASE("a draining waypoint answers what it has, closes, and listens no more") {
  Loop loop;
  Site site;
  test::run(loop, drained(site));
}

TEST_CASE("a port in use is an error that names it") {
  Loop loop;
  Site site;
  test::run(loop, port_taken(site));
}
