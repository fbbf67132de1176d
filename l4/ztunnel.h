// SPDX-License-Identifier: Apache-2.0
// The per-node L4 proxy as one object of the main thread: it binds every pod's listeners, spreads pods over
// the workers, hands them snapshots, and drains. Nothing is accepted before the first snapshot: connections
// wait in the listeners' backlogs.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "config/snapshot.h"
#include "core/certificates.h"
#include "core/loop.h"
#include "core/metrics.h"
#include "core/result.h"
#include "core/workers.h"
#include "l4/dump.h"
#include "l4/pod_counts.h"
#include "l4/settings.h"
#include "l4/telemetry.h"

namespace ambientd::l4 {

class Ztunnel {
 public:
  // All four outlive it, and the calling thread's loop too; the workers still run when it is destroyed.
  // Worker i counts in the registry as number i + 1.
  Ztunnel(Workers& workers, Certificates& certificates, metrics::Registry& registry, Settings settings);
  ~Ztunnel();
  Ztunnel(const Ztunnel&) = delete;

  // Opens the pods and binds their listeners. Errors: io (which pod, which port, what to do), invalid (no
  // pod).
  Status start();

  // A new state of the mesh, for every worker; the first one starts the traffic. Live connections that policy
  // no longer allows are closed.
  void publish(config::SnapshotPtr snapshot);

  // Certificates::Events::changed, on the main thread: connections whose peer is no longer trusted are
  // drained.
  void certificates_changed();

  // Other revocation lists are in force: connections whose peer is in them end at once.
  void revocations_changed();

  // Stops accepting at once, tells peers (GOAWAY), lets connections finish until `deadline`, then cuts the
  // rest. `done` is called once, on the main loop.
  void drain(std::chrono::milliseconds deadline, std::function<void()> done);

  std::vector<PodView> views() const;        // what each pod carries; asks every worker
  std::vector<std::string> pending() const;  // what readiness waits for, sorted; empty: ready

 private:
  struct Served;
  struct Draining;
  void start_capture();
  void stop_capture();
  size_t stories() const;

  Workers& workers_;
  Certificates& certificates_;
  const Settings settings_;
  Loop& main_;
  TrafficMetrics metrics_;
  PodCounts counts_;
  std::vector<std::unique_ptr<struct Worker>> states_;  // by worker; what is in them belongs to its thread
  std::vector<std::unique_ptr<Served>> served_;         // by pod
  config::SnapshotPtr snapshot_;
  bool started_ = false, capturing_ = false;
  std::unique_ptr<Draining> draining_;
};

}  // namespace ambientd::l4
