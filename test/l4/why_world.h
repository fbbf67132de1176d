// SPDX-License-Identifier: Apache-2.0
// Applications, peers and addresses of loopback for calls that are explained first and made then: what really
// happened is what the listeners saw. A call is made by connecting to its target, where a ztunnel captures
// the first connection; what comes there later was dialled by somebody.
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <openssl/ssl.h>
#include <unistd.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/tls_over.h"
#include "core/tls_stream.h"
#include "l4/ports.h"
#include "test/l4/calls.h"
#include "test/support/stream_pair.h"

namespace ambientd::l4::test {

// What the far side of one call saw.
struct Seen {
  std::vector<SockAddr> dialled;         // HBONE ports that were connected to
  std::vector<std::string> authorities;  // of the CONNECTs that fake peers got, inner ones too
  std::vector<std::string> callers;      // whose certificate each came with
  std::vector<SockAddr> plain;           // applications that a ztunnel connected to
  std::string answer;                    // what the calling application read
};

// Who serves the addresses, in order; the last one is a network gateway's.
inline constexpr size_t kServers = 5;
inline constexpr const char* kHere = "here";   // what everybody answers
inline constexpr uint16_t kTargetPort = 8000;  // of services

// An address on loopback that no other process that runs these tests uses.
inline Ip own_ip(size_t last) {
  auto pid = static_cast<unsigned>(getpid());
  return *Ip::parse(fmt::format("127.{}.{}.{}", 1 + (pid >> 8) % 250, pid & 0xff, last));
}
inline Ip server_ip(size_t i) { return own_ip(10 + i); }
inline Ip vip(size_t i) { return own_ip(100 + i); }
inline std::string server_ns(size_t i) { return i % 2 == 0 ? "default" : "other"; }
inline std::string server_name(size_t i) { return "server-" + std::to_string(i); }

class WhyWorld {
 public:
  WhyWorld() {
    settings.mark = 0;
    settings.original_source = OriginalSource::never;
    settings.localhost_app_tunnel = false;
    client = std::make_unique<Worker>(Loop::current(), settings, certificates, metrics_, 1);
    server = std::make_unique<Worker>(Loop::current(), settings, certificates, metrics_, 2);
    for (const char* ns : {"default", "other"}) add_pod(*client, {ns, "client", "client", ""});
    for (size_t i = 0; i < kServers; ++i)
      add_pod(*server, {server_ns(i), server_name(i), server_name(i), ""});
    listen();
    log::redirect_to([this](std::string_view line) { log.emplace_back(line); });
  }
  ~WhyWorld() { log::redirect_to(nullptr); }

  void publish(const config::Mesh& mesh) {
    config::SnapshotPtr snapshot = config::Snapshot::build(mesh);
    client->take(snapshot);
    server->take(snapshot);
  }

  // An application of client pod `who` calls; `real`: at the HBONE ports are ztunnels and no fake peers.
  Task<void> call(size_t who, SockAddr target, bool real) {
    seen = {};
    log.clear();
    captured_ = target;
    caller_ = who;
    real_ = real;
    client->random.seed(target.port);  // the same draws in each run
    Result<Fd> fd = tcp_socket(false, 0);
    Scope scope;
    Result<Fd> connected = co_await connect(std::move(*fd), target, scope);
    REQUIRE(connected);
    TcpStream app(std::move(*connected));
    co_await read_all(app, seen.answer);
    app.finish();
    while (client->stories > 0 || (real && !server->live.empty())) co_await next_turn();
    client->pods[who]->pool.evict([](const hbone::PoolKey&) { return true; });
  }

  // A timer's tick is long beside a call.
  static Task<void> next_turn() {
    Event turned{"next turn"};
    Loop::current().post([&turned] { turned.set(); });
    co_await turned;
  }

  Task<void> end() {
    listeners_.clear();
    client->drain();
    server->drain();
    auto busy = [this] {
      size_t open = client->stories + server->stories + fakes_;
      for (const std::unique_ptr<PodWorker>& each : client->pods) open += each->pool.empty() ? 0 : 1;
      return open > 0;
    };
    while (busy()) co_await Sleep(1);
  }

  bool logged(const std::string& part) const {
    return std::ranges::any_of(log, [&](const std::string& line) { return has(line, part); });
  }
  std::string log_text() const { return fmt::format("{}", fmt::join(log, "")); }

  Settings settings;
  std::unique_ptr<Worker> client, server;
  std::map<SockAddr, Identity> presents;  // as whom the fake peer there answers …
  Identity inside;                        // … and somebody behind a gateway
  bool twice = false;                     // fake peers are gateways: in the tunnel is another connection
  Seen seen;
  std::vector<std::string> log;

 private:
  void add_pod(Worker& worker, PodSpec spec) {
    pods_.push_back(std::move(*Pod::open(std::move(spec), 0)));
    worker.pods.push_back(std::make_unique<PodWorker>(worker, *pods_.back()));
    worker.all = {&worker};
  }

  void listen() {
    auto at = [this](const Ip& ip, uint16_t port) {
      SockAddr address{ip, port};
      listeners_.push_back(std::make_unique<Listener>(
          ip.str(), [this, address](Fd fd) { accepted(address, std::move(fd)); }, port));
    };
    for (size_t i = 0; i < kServers; ++i)
      for (uint16_t port :
           {kHbonePort, kOutboundPort, kTargetPort, uint16_t{8001}, uint16_t{8080}, uint16_t{8081}})
        at(server_ip(i), port);
    for (size_t i = 0; i < 4; ++i) at(vip(i), kTargetPort);
    at(vip(0), 8001);
  }

  void accepted(const SockAddr& at, Fd fd) {
    if (captured_ == at) {
      captured_.reset();
      SockAddr from = *peer_address(fd.get());
      return take_call(*client->pods[caller_], std::move(fd), from);
    }
    (at.port == kHbonePort ? seen.dialled : seen.plain).push_back(at);
    if (at.port != kHbonePort) return Loop::current().spawn("application", application(std::move(fd)));
    if (!real_) return Loop::current().spawn("fake peer", peer(at, std::move(fd)));
    size_t i = 0;
    while (server_ip(i) != at.ip) ++i;
    ++server->load;
    Loop::current().spawn("peer", serve_peer(server->pods[i].get(), std::move(fd)));
  }

  Task<void> application(Fd fd) {
    TcpStream stream(std::move(fd));
    co_await answer(stream);
  }

  static Task<void> answer(Stream& stream) {
    Status sent = co_await ambientd::test::send_text(stream, kHere);
    stream.finish();
    std::string nothing;
    if (sent) co_await read_all(stream, nothing);
  }

  SslPtr accepting(const Identity& as) {
    certificates.get(as, [](const Result<WorkloadCertificatePtr>& issued) { REQUIRE(issued); });
    SslPtr ssl(SSL_new(certificates.current(as)->server.get()));
    SSL_set_accept_state(ssl.get());
    return ssl;
  }

  Task<void> peer(SockAddr at, Fd fd) {
    Fake here(*this);
    Scope scope;
    Result<std::unique_ptr<TlsStream>> tls =
        co_await TlsStream::handshake(std::move(fd), accepting(presents.at(at)), scope);
    if (!tls) co_return;
    hbone::Session session(hbone::Session::Role::server, **tls, {},
                           [this, &tls](std::unique_ptr<hbone::Exchange> exchange) {
                             note(*exchange, (*tls)->ssl());
                             Loop::current().spawn("fake tunnel", tunnel(std::move(exchange)));
                           });
    Status ended = co_await session.run();
  }

  void note(const hbone::Exchange& exchange, const SSL* tls) {
    seen.authorities.emplace_back(hbone::find(exchange.head(), ":authority").value_or(""));
    seen.callers.push_back(peer_check(tls).identity->uri());
  }

  Task<void> tunnel(std::unique_ptr<hbone::Exchange> exchange) {
    Fake here(*this);
    if (!exchange->respond({{":status", "200"}}, false)) co_return;
    if (twice) {
      co_await behind_gateway(std::move(exchange));
      co_return;
    }
    co_await answer(*exchange);
  }

  Task<void> behind_gateway(std::unique_ptr<hbone::Exchange> carrier) {
    Scope scope;
    std::unique_ptr<Stream> stream = std::move(carrier);
    Result<std::unique_ptr<TlsOver>> tls =
        co_await TlsOver::handshake(std::move(stream), accepting(inside), scope);
    if (!tls) co_return;
    hbone::Session session(hbone::Session::Role::server, **tls, {},
                           [this, &tls](std::unique_ptr<hbone::Exchange> exchange) {
                             note(*exchange, (*tls)->ssl());
                             Loop::current().spawn("inner tunnel", inner(std::move(exchange)));
                           });
    Status ended = co_await session.run();
  }

  Task<void> inner(std::unique_ptr<hbone::Exchange> exchange) {
    Fake here(*this);
    if (!exchange->respond({{":status", "200"}}, false)) co_return;
    co_await answer(*exchange);
  }

  // A fake's story, counted.
  struct Fake {
    explicit Fake(WhyWorld& of) : world(of) { ++world.fakes_; }
    ~Fake() { --world.fakes_; }
    Fake(const Fake&) = delete;
    WhyWorld& world;
  };

  LocalCa ca_ = ambientd::test::new_root();
  Certificates certificates{std::make_unique<TestSigner>(ca_), {}, {}};
  metrics::Registry registry_{3};
  TrafficMetrics metrics_{registry_};
  std::vector<std::unique_ptr<Pod>> pods_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::optional<SockAddr> captured_;
  size_t caller_ = 0, fakes_ = 0;
  bool real_ = false;
};

}  // namespace ambientd::l4::test
