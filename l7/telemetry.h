// SPDX-License-Identifier: Apache-2.0
// Istio's standard metrics as a waypoint reports them (contract/waypoint.md §4.1): families, labels in their
// exact order, and a per-worker table from what tells two series apart to handles, so that a request costs
// one hash lookup and no label text. One Telemetry belongs to one worker; the families are shared.
//
// The rule: sweep() every minute or so. Handles it drops are made anew when they are needed; handles it keeps
// would stop the registry from expiring idle series.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "config/model.h"
#include "core/metrics.h"
#include "core/spiffe.h"
#include "hbone/connect.h"

namespace ambientd::l7 {

// The families, registered once at start-up on the main thread.
struct MetricFamilies {
  explicit MetricFamilies(metrics::Registry& registry);
  metrics::Counters& requests;
  metrics::Histograms &duration, &request_bytes, &response_bytes;
  metrics::Counters &opened, &closed, &sent, &received;
};

// Who called. Tunnels with the same client share one value.
struct Caller {
  std::optional<Identity> identity;  // of the tunnel's certificate
  config::WorkloadPtr workload;      // by the tunnel's peer address; null: baggage tells what it can
  hbone::Baggage baggage;            // of the CONNECT
};
using CallerPtr = std::shared_ptr<const Caller>;

// What a request or a connection was about.
struct Traffic {
  config::WorkloadPtr endpoint;  // the chosen one; null for a local reply
  config::ServicePtr service;    // the routed one (a re-targeted request: its target's); null: none
  std::string flags;             // response flags; empty reads as `-`
};

struct RequestTotals {
  bool grpc = false;
  int status = 0;                                  // as the client got it; 0: it was gone
  std::optional<int> grpc_status;                  // of a gRPC response, when it came
  uint64_t request_bytes = 0, response_bytes = 0;  // header section and body, as carried
  std::chrono::nanoseconds duration{0};
};

// One TCP connection's handles.
struct ConnectionMetrics {
  metrics::Counter received, sent;  // bytes from and to the client
  metrics::Counter closed;          // add(1) at the end
};

class Telemetry {
 public:
  // `worker`: the number with()'s handles are taken with (core/metrics.h).
  Telemetry(MetricFamilies& families, size_t worker);
  ~Telemetry();

  // Once per tunnel. `baggage` is the CONNECT's header, looked at only without a workload. A peer chooses it,
  // so beyond 10,000 different ones per sweep it is ignored and its labels are `unknown`.
  CallerPtr caller(const std::optional<Identity>& identity, const config::WorkloadPtr& workload,
                   std::string_view baggage);

  // Once per request, when its last byte is through or it broke.
  void count(const CallerPtr& caller, const Traffic& traffic, const RequestTotals& totals);

  // Counts a TCP connection as opened, and hands out what it counts with.
  ConnectionMetrics open(const CallerPtr& caller, const Traffic& traffic);

  // Forgets what was not used since the last call.
  void sweep();

 private:
  struct Table;
  MetricFamilies& families_;
  size_t worker_;
  std::unique_ptr<Table> table_;
};

}  // namespace ambientd::l7
