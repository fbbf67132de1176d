// SPDX-License-Identifier: Apache-2.0
// What one worker thread holds: the snapshot it decides by, its part of every pod, and the connections it
// carries. Only touched on its loop's thread, except `load`. A story that uses it ends before it goes.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "config/snapshot.h"
#include "core/certificates.h"
#include "core/list.h"
#include "core/log_filter.h"
#include "core/loop.h"
#include "core/scope.h"
#include "core/task.h"
#include "hbone/pool.h"
#include "hbone/session.h"
#include "l4/double_hbone.h"
#include "l4/pod.h"
#include "l4/settings.h"
#include "l4/telemetry.h"
#include "policy/authorization.h"

namespace ambientd::l4 {

struct Worker;

// A worker's part of one pod. Connections are never shared between pods, so each has its own pool.
struct PodWorker final : hbone::Dialer {
  PodWorker(Worker& owner, const Pod& of);
  Result<Fd> socket(bool v6) override;
  Task<Result<WorkloadCertificatePtr>> certificate(Identity identity, Scope& scope) override;

  Worker& worker;
  const Pod& pod;
  hbone::Pool pool;
  DoubleDialer double_dialer;  // of the pool's inner connections
  config::WorkloadPtr self;    // as of the last snapshot; null: not known
  uint64_t told_full_ms = 0;   // when we last said that the pod has too many connections
  bool transparent = false;    // applications can be dialled from the client's address
};

log::Subject subject_of(const PodWorker& pod);  // of log lines

// A connection that is being carried. There is one for each of very many: it holds what nobody else does.
struct Live : Listed<Live> {
  Live(Worker& worker, const PodWorker& of, Scope& ends_by, Report& as,
       const std::optional<Identity>* judged = nullptr);
  ~Live();
  // Reports how its relay ended. Not inlined, because a frame that waits has room for all its temporaries.
  void end(const Status& relayed);
  // What policies judge (inbound); they are asked again whenever they change.
  policy::Peer peer() const { return {*identity, report.from().ip, target}; }
  const PodWorker& pod;
  Scope& scope;
  Report& report;
  const std::optional<Identity>* identity;  // of who called (outlives this); null: policies are not asked
  SockAddr target;             // what the application dialled (outbound), or the application (inbound)
  std::string forwarded_host;  // inbound: what the peer says the application meant
};

// A peer's connection that has not proved who it is. Too many of them cost the oldest.
struct Handshake : Listed<Handshake> {
  explicit Handshake(Worker& of);
  ~Handshake();
  Worker& worker;
  Scope scope;
};

// An HBONE connection that a peer has open to us.
struct Incoming : Listed<Incoming> {
  const PodWorker& pod;
  hbone::Session& session;
  Identity self;
  std::string root;  // fingerprint of what verified the peer
  const SSL* tls = nullptr;
};

// One story of ours, counted so that a drain knows when all have ended.
class Story {
 public:
  explicit Story(Worker& worker);
  ~Story();
  Story(const Story&) = delete;

 private:
  Worker& worker_;
};

struct Worker {
  Worker(Loop& on, const Settings& with, Certificates& from, TrafficMetrics& metrics, size_t number);

  Loop& loop;
  const Settings& settings;
  Certificates& certificates;
  Telemetry telemetry;
  config::SnapshotPtr snapshot;  // null until the first one
  std::vector<std::unique_ptr<PodWorker>> pods;
  std::vector<Worker*> all;  // every worker, this one included: for handing over
  List<Live> live;
  List<Incoming> incoming;
  std::mt19937_64 random{std::random_device{}()};
  List<Handshake> unproved;  // oldest first
  size_t handshakes = 0;     // in there
  bool draining = false;
  std::atomic<size_t> load = 0;     // HBONE connections accepted for this worker
  std::atomic<size_t> stories = 0;  // that have not ended

  struct Wait;
  List<Wait> waiting;  // for a snapshot

  // Judges live inbound connections again, and drains what leads to, or came from, somebody who is gone.
  void take(config::SnapshotPtr next);
  void reconsider();  // a certificate changed
  void revoke();      // revocation lists changed
  void drain();       // GOAWAY both ways
  void cut();         // ends everything that is left

 private:
  void count();
  void judge_again();
  void evict(const config::Snapshot& before);
  Timer counting_;
};

// The pod's own workload, as soon as it is known; not_found after Settings::self_wait_ms.
Task<Result<config::WorkloadPtr>> own_workload(PodWorker& pod);

// Whether policy allows `peer` to reach a workload, by the worker's snapshot. Errc::denied with the reason.
// Every decision is logged, and what dry-run policies would have said.
Status judge(const Worker& worker, const config::Workload& self, const policy::Peer& peer);

// A connection to or from a pod that was refused before it could be opened: its line and its count. `proved`:
// whose certificate the peer showed.
void report_refused(const PodWorker& pod, Direction direction, const SockAddr& from, const SockAddr& to,
                    const Error& error, const std::optional<Identity>& proved = {});

// Connects to an application or any plain destination from the pod's namespace, with `source` as our address
// where that is possible. Errors: connect_refused, connect_failed, timed_out, or what closes `scope`.
Task<Result<Fd>> dial(PodWorker& pod, SockAddr to, std::optional<Ip> source, Scope& scope);

}  // namespace ambientd::l4
