// SPDX-License-Identifier: Apache-2.0
// What is kept of a request while it is on its way, and told at its end: one access log line, one count.
#pragma once

#include <chrono>
#include <string>

#include "l7/access_log.h"
#include "l7/plan.h"
#include "l7/telemetry.h"
#include "l7/worker.h"

namespace ambientd::l7 {

class Record {
 public:
  using Clock = std::chrono::steady_clock;

  // Starts the clock. `tunnel` outlives it.
  explicit Record(const Tunnel& tunnel);

  void asked(const Request& request);       // cleaned, before the route's operations
  void matched(const Plan& plan);           // by its rule
  void routed(const Plan& plan);            // to a service
  void placed(const Plan& plan);            // at an endpoint, the last one counts
  void answered(const Response& response);  // the final head, as the client gets it
  void trailed(const Fields& trailers);
  void ended(std::string_view flags, std::string details) {
    log.flags = flags;
    log.details = std::move(details);
  }
  // Writes the line and counts; at the very end. `worker` belongs to this thread.
  void tell(Worker& worker);

  std::chrono::milliseconds since_start() const {
    return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start_);
  }

  RequestLog log;
  std::optional<int> grpc_status;         // from the response's head or trailers
  bool delayed = false;                   // by a fault
  uint64_t uploaded = 0, downloaded = 0;  // body bytes

 private:
  const Tunnel& tunnel_;
  Clock::time_point start_ = Clock::now();
  config::WorkloadPtr endpoint_;
  config::ServicePtr service_;
  bool grpc_ = false;
  uint64_t head_bytes_ = 0, answer_bytes_ = 0;
};

}  // namespace ambientd::l7
