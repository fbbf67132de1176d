// SPDX-License-Identifier: Apache-2.0
// The waypoint: one listening socket on 15008, worker loops that serve what it accepts, and the published
// mesh they decide by. Everything here is called on the main thread; workers hear of it by post().
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/certificates.h"
#include "core/metrics.h"
#include "core/options.h"
#include "core/socket.h"
#include "core/workers.h"
#include "l7/key_store.h"
#include "l7/telemetry.h"
#include "l7/upstream.h"
#include "l7/view.h"

namespace ambientd::l7 {

struct Settings {
  std::string pod;        // its name, to find it in the mesh
  Identity identity;      // whose certificate it serves and dials with
  uint16_t port = 15008;  // on [::], or on 0.0.0.0 where there is no IPv6
  uint32_t mark = 0;      // SO_MARK of every socket; 0: none
  uint64_t handshake_ms = 10'000;
  size_t handshakes = 1'000;      // in progress, per worker; beyond it the oldest is cut
  size_t connections = 100'000;   // per worker; beyond it new ones are cut
  uint64_t release_ms = 300'000;  // an unused HBONE connection is kept this long
  UpstreamLimits upstream;
};

// `options.workload` is set: a waypoint knows who it is.
Settings settings_from(const Options& options);

class Waypoint {
 public:
  // All outlive it; `workers` are numbered from 1 in `registry`.
  Waypoint(Workers& workers, Certificates& certificates, metrics::Registry& registry, Settings settings);
  ~Waypoint();
  Waypoint(const Waypoint&) = delete;

  // Listens. The error names the port and what to do.
  Status start();
  void publish(config::SnapshotPtr snapshot);
  // Certificates were replaced: connections that would no longer be believed are drained.
  void certificates_changed();
  // Other revocation lists are in force: connections whose peer is in them end at once.
  void revocations_changed();
  // Stops listening, tells clients, lets requests end; after `deadline` cuts what is left. `done` runs on the
  // calling thread's loop.
  void drain(std::chrono::milliseconds deadline, std::function<void()> done);

  uint16_t port() const { return port_; }  // after start(); useful when settings asked for 0

  // What it still waits for, one sentence each; empty: ready.
  std::vector<std::string> pending() const;

  struct ConnectionInfo {
    SockAddr peer;
    std::string identity;  // URI, empty during the handshake
    size_t tunnels = 0;
    uint64_t age_ms = 0;
  };
  std::vector<ConnectionInfo> connections();

 private:
  struct Node;
  struct Draining;
  Result<Fd> listening_socket() const;
  void share(std::shared_ptr<View> view);
  void take_keys();
  void accepted(Fd fd);
  void cut();
  size_t open() const;  // connections of clients

  Workers& workers_;
  Certificates& certificates_;
  Settings settings_;
  MetricFamilies families_;
  Loop& main_;
  KeyStore keys_;
  std::vector<std::unique_ptr<Node>> nodes_;  // one per worker, touched there
  std::vector<std::atomic<size_t>> loads_;    // connections given to each and not ended
  ViewPtr view_;
  std::vector<ViewPtr> former_;  // the last reference to a snapshot goes here, on the main thread
  std::string unknown_;          // why the mesh does not know this waypoint
  std::unique_ptr<Draining> draining_;
  bool listening_ = false;
  uint16_t port_ = 0;
};

}  // namespace ambientd::l7
