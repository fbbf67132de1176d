// SPDX-License-Identifier: Apache-2.0
// Istio's standard metrics as a waypoint reports them (contract/waypoint.md §4.1): families, labels in their
// exact order, and a per-worker table from what tells two series apart to handles, so that a request costs
// one hash lookup and no label text. One Telemetry belongs to one worker; the families are shared.
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
#include "l7/message.h"

namespace ambientd::l7 {

// The families, registered once at start-up on the main thread.
struct MetricFamilies {
  explicit MetricFamilies(metrics::Registry& registry);
  metrics::Counters &requests, &opened, &closed, &sent, &received;
  metrics::Histograms &duration, &request_bytes, &response_bytes;
};

// Who called: one value per tunnel, shared by all its requests, so that the table can key by its address.
struct Caller {
  std::optional<Identity> identity;  // of the tunnel's certificate
  config::WorkloadPtr workload;      // by the tunnel's peer address; null: baggage is used
  hbone::Baggage baggage;            // of the CONNECT
};

// What a request or a connection was about. `service` is the routed one (a re-targeted request: its
// target's); `endpoint` the chosen workload, null for a local reply.
struct Traffic {
  config::WorkloadPtr endpoint;
  config::ServicePtr service;
  std::string_view flags = "-";
};

struct RequestTotals {
  bool grpc = false;
  int status = 0;  // as the client got it; 0: it was gone
  std::optional<int> grpc_status;
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

  // Once per request, when its last byte is through or it broke.
  void count(const std::shared_ptr<const Caller>& caller, const Traffic& traffic,
             const RequestTotals& totals);

  // Handles for one TCP connection; opened() was counted. The caller adds bytes as it likes and ends with
  // closed().
  ConnectionMetrics open(const Caller& caller, const Traffic& traffic);

  // Forgets handles not used since the last call, so that idle series can expire; every minute or so.
  void sweep();

 private:
  struct Table;
  MetricFamilies& families_;
  size_t worker_;
  std::unique_ptr<Table> table_;
};

}  // namespace ambientd::l7
