// SPDX-License-Identifier: Apache-2.0
// Two ztunnels in one loop, without interception or namespaces: the client's side carries a captured call
// over loopback to the server's side, which dials a real application socket.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/certificates.h"
#include "core/log.h"
#include "core/metrics.h"
#include "core/socket.h"
#include "core/tcp_stream.h"
#include "l4/inbound.h"
#include "l4/outbound.h"
#include "l4/worker.h"
#include "test/l4/mesh.h"
#include "test/support/catch.h"
#include "test/support/mint.h"

namespace ambientd::l4::test {

class TestSigner final : public Signer {
 public:
  explicit TestSigner(const LocalCa& ca) : ca_(ca) {}
  void sign(const Identity& identity, Done done) override {
    done(ca_.issue(identity, std::chrono::hours(1), std::chrono::system_clock::now()));
  }
  Result<bool> refresh() override { return false; }

 private:
  const LocalCa& ca_;
};

// A listening socket on a loopback address.
class Listener {
 public:
  Listener(const std::string& ip, std::function<void(Fd)> accepted, uint16_t port = 0) {
    Result<Fd> fd = tcp_socket(false, 0);
    REQUIRE(fd);
    REQUIRE(listen_on(fd->get(), {*Ip::parse(ip), port}, 16));
    at = *local_address(fd->get());
    acceptor_ = std::make_unique<Acceptor>(std::move(*fd), std::move(accepted));
  }
  SockAddr at;

 private:
  std::unique_ptr<Acceptor> acceptor_;
};

struct TwoZtunnels {
  static constexpr const char* kClient = "127.0.0.1";
  static constexpr const char* kServer = "127.0.0.2";

  LocalCa ca = ambientd::test::new_root();
  std::shared_ptr<Revocations> revocations =
      std::make_shared<Revocations>(*RevocationLists::parse("", "nothing"));
  Certificates certificates{std::make_unique<TestSigner>(ca), {}, {.revocations = revocations}};
  metrics::Registry registry{3};
  TrafficMetrics metrics{registry};
  Settings settings;
  std::unique_ptr<Pod> client_pod, server_pod;
  std::unique_ptr<Worker> client, server;
  std::unique_ptr<Listener> hbone;
  config::Mesh mesh;
  std::vector<std::string> log;

  TwoZtunnels() {
    settings.mark = 0;
    settings.original_source = OriginalSource::never;
    client_pod = std::move(*Pod::open({"default", "client-0", "client", ""}, 0));
    server_pod = std::move(*Pod::open({"default", "echo-0", "echo", ""}, 0));
    Loop& loop = Loop::current();
    client = std::make_unique<Worker>(loop, settings, certificates, metrics, 1);
    server = std::make_unique<Worker>(loop, settings, certificates, metrics, 2);
    client->all = {client.get()};
    server->all = {server.get()};
    client->pods.push_back(std::make_unique<PodWorker>(*client, *client_pod));
    server->pods.push_back(std::make_unique<PodWorker>(*server, *server_pod));
    mesh.workloads = {workload("client", kClient), behind(workload("echo", kServer), "echo")};
    mesh.services = {service("echo", "10.1.0.2")};
    publish();
    hbone = std::make_unique<Listener>(kServer, [this](Fd fd) {
      ++server->load;
      Loop::current().spawn("peer", serve_peer(server->pods[0].get(), std::move(fd)));
    });
    log::redirect_to([this](std::string_view line) { log.emplace_back(line); });
  }
  ~TwoZtunnels() { log::redirect_to(nullptr); }

  void publish() {
    config::SnapshotPtr snapshot = config::Snapshot::build(mesh);
    client->take(snapshot);
    server->take(snapshot);
  }

  // What the client's side would have decided for a call to the server's application on `port`.
  Captured call_to(uint16_t port, SockAddr from) const {
    Captured call{client->pods[0]->self, from, {*Ip::parse(kServer), port}, {}};
    call.decision = {Decision::Protocol::hbone, hbone->at,
                     call.target.str(),         {server->pods[0]->self->identity()},
                     server->pods[0]->self,     server->snapshot->service("default", host("echo"))};
    return call;
  }

  // The certificate in use for a service account is revoked, as far as a reload of the file goes.
  void revoke(const std::string& sa) {
    std::string pem = certificates.current(ambientd::test::workload(sa))->chain[0].pem;
    std::vector<X509Ptr> leaf = *parse_certificates(pem, "leaf");
    revocations->replace(
        *RevocationLists::parse(ambientd::test::mint_crl(ca, {.revoked = {leaf[0].get()}}), "crl.pem"));
  }

  // The lines of the access log that say how a connection of this direction ended.
  std::string ended(const std::string& direction) const {
    for (const std::string& line : log)
      if (line.find("connection complete") != line.npos && line.find("\"" + direction + "\"") != line.npos)
        return line;
    return {};
  }
  std::string refused() const {
    for (const std::string& line : log)
      if (line.find("connection failed") != line.npos) return line;
    return {};
  }
};

}  // namespace ambientd::l4::test
