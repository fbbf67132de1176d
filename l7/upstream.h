// SPDX-License-Identifier: Apache-2.0
// A worker's connections to the applications behind the waypoint: tunnels through their ztunnels, as the
// waypoint and to exactly the workload that was chosen (contract/waypoint.md §1.9), or plain TCP to endpoints
// outside the mesh. HTTP/1.1 connections are kept for the next request, HTTP/2 ones are shared. All clients
// of the waypoint share them, because to the application they are all the waypoint.
#pragma once

#include <compare>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "hbone/pool.h"
#include "l7/http1_client.h"
#include "l7/http2_client.h"

namespace ambientd::l7 {

struct Destination {
  SockAddr address;                  // where the application listens
  std::optional<Identity> identity;  // of its workload, where that is reached by HBONE; else plain TCP

  auto operator<=>(const Destination&) const = default;
  bool operator==(const Destination&) const = default;
};

struct UpstreamLimits {
  uint64_t connect_ms = 10'000;   // meshConfig.connectTimeout
  uint64_t idle_ms = 60'000;      // an unused connection is kept this long
  size_t idle_connections = 100;  // HTTP/1.1, per destination
  uint16_t hbone_port = 15008;
};

// How connections are made; the pool's other end in tests.
class Connector {
 public:
  virtual ~Connector() = default;
  // A raw connection. Errors: those of the dial (hbone_timed_out, connect_refused, tls, http_status when the
  // ztunnel refused, …), timed_out, or what closes scope.
  virtual Task<Result<std::unique_ptr<Stream>>> connect(Destination to, Scope& scope) = 0;
};

class MeshConnector final : public Connector {
 public:
  // All outlive it. `self` is who we are.
  MeshConnector(hbone::Pool& pool, hbone::Dialer& dialer, Identity self, const UpstreamLimits& limits = {});
  Task<Result<std::unique_ptr<Stream>>> connect(Destination to, Scope& scope) override;

 private:
  Task<Result<std::unique_ptr<Stream>>> tunnel(Destination to, Scope& scope);
  Task<Result<std::unique_ptr<Stream>>> plain(Destination to, Scope& scope);

  hbone::Pool& pool_;
  hbone::Dialer& dialer_;
  Identity self_;
  UpstreamLimits limits_;
};

class Upstreams {
 public:
  explicit Upstreams(Connector& connector, const UpstreamLimits& limits = {});
  ~Upstreams();
  Upstreams(const Upstreams&) = delete;

  struct Sent {
    std::unique_ptr<ClientExchange> exchange;
    const Http1Exchange* http1 = nullptr;  // the same, where it is one
    // The connection turned out to be closed already: the upstream has not seen the request.
    bool untouched() const { return http1 && http1->stale(); }
  };
  // Sends the head of `request` to `to`. With `fresh` on a connection of its own. *dialled tells whether
  // there was a connection when it failed. Errors: those of the connector, of the connection, invalid.
  Task<Result<Sent>> send(Destination to, Protocol protocol, const Request& request, bool fresh, Scope& scope,
                          bool& dialled);

  Connector& connector() { return connector_; }
  void drain();  // kept connections are closed, shared ones say GOAWAY
  size_t idle() const;
  bool empty() const { return idle_.empty() && shared_.empty(); }

 private:
  struct Shared;
  struct Waiting;
  Task<Result<Sent>> send_http1(Destination to, const Request& request, bool fresh, Scope& scope,
                                bool& dialled);
  Task<Result<Sent>> send_http2(Destination to, const Request& request, Scope& scope, bool& dialled);
  Task<void> drive(Destination to, Shared* shared);
  hbone::Session* pick(Shared& shared, bool upgrades) const;
  void forget_if_unused(const Destination& to, const Shared& shared);

  std::unique_ptr<Http1Connection> take(const Destination& to);
  void give_back(const Destination& to, std::unique_ptr<Http1Connection> connection);
  void sweep();

  Connector& connector_;
  UpstreamLimits limits_;
  std::map<Destination, std::vector<std::unique_ptr<Http1Connection>>> idle_;
  std::map<Destination, std::unique_ptr<Shared>> shared_;
  Timer sweep_timer_;
  bool draining_ = false;
};

}  // namespace ambientd::l7
