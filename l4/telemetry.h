// SPDX-License-Identifier: Apache-2.0
// What is counted and logged about every proxied connection (contract/ztunnel.md §12): six metric families
// and one access log line. A Report lives as long as its connection: it counts it as open, its bytes as they
// flow, and its end once. Where the connection goes may change until it is open.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "core/ip.h"
#include "core/metrics.h"
#include "core/relay.h"
#include "core/result.h"
#include "l4/flow.h"

namespace ambientd::l4 {

// What connections between the same two ends for the same service share, however many there are: their ends
// and their series, looked up once.
struct Traffic {
  Flow ends;  // without addresses and authority
  metrics::Counter opened, closed, received, sent;
};

// The families, registered once by whoever owns the registry.
struct TrafficMetrics {
  explicit TrafficMetrics(metrics::Registry& registry);
  metrics::Counters &opened, &closed, &received, &sent, &failed;
  metrics::Counters& revoked;
  metrics::Gauges& sockets;
  metrics::Counters &attempts, &missing_waypoints, &lookups;
};

// One worker's view of them. `number` is its number in the registry.
class Telemetry {
 public:
  Telemetry(TrafficMetrics& metrics, size_t number);

  // One accepted socket, while it lives.
  class Socket {
   public:
    explicit Socket(metrics::Gauge& gauge) : gauge_(gauge) { gauge_.add(1); }
    ~Socket() { gauge_.add(-1); }
    Socket(const Socket&) = delete;

   private:
    metrics::Gauge& gauge_;
  };
  Socket accepted(Direction direction) {
    return Socket(direction == Direction::outbound ? outbound_sockets_ : inbound_sockets_);
  }

  std::shared_ptr<Traffic> traffic(Flow ends);
  void sweep();  // forgets what no connection has used for a while; to be called every second

  // A connection was refused or cut because the peer's certificate is in a revocation list.
  void revoked(Direction direction);
  // A call's attempt at an endpoint failed, and another one follows.
  void attempt_failed(const Flow& flow, const Error& why);
  // A call to a service whose waypoint is missing: refused, or passed by it.
  void waypoint_missing(std::string_view service, std::string_view waypoint, bool passed);
  void asked_dns(const config::Workload& source, std::string_view hostname);

 private:
  friend class Report;
  friend void report_refused(Telemetry& telemetry, const Flow& flow, const Error& error);
  TrafficMetrics& metrics_;
  size_t number_;
  metrics::Gauge outbound_sockets_, inbound_sockets_;
  struct Known {
    std::shared_ptr<Traffic> traffic;
    uint32_t unused = 0;  // sweeps
  };
  std::unordered_map<std::string, Known> known_;  // by all that tells traffic apart
  std::string key_;                               // room to write one in
};

class Report {
 public:
  Report(Telemetry& telemetry, Flow&& flow) : Report(telemetry, std::move(flow), true) {}
  Report(Telemetry& telemetry, Flow&& flow, bool is_open);
  Report(const Report&) = delete;
  void redirect(Flow&& flow);  // before open()
  void open();                 // it is; end() counts what never was as opened, too
  // Ends it: closed, failed where it failed, and the access log line. Once.
  void end(const Status& status) { conclude(status ? nullptr : &status.error()); }
  void fail(const Error& why) { conclude(&why); }
  void count();  // takes over the bytes that flowed since the last time

  const Flow& ends() const { return traffic_->ends; }
  const SockAddr& from() const { return from_; }
  const SockAddr& to() const { return to_; }
  const std::string& authority() const { return authority_; }
  Relayed bytes;  // a: downstream (who called), b: upstream

 private:
  void conclude(const Error* why);  // null: it ended well
  void log(const Error* why) const;

  Telemetry& telemetry_;
  std::shared_ptr<Traffic> traffic_;
  SockAddr from_, to_;
  std::string authority_;
  Relayed counted_;
  bool open_ = false;
  uint64_t started_ns_;
};

// A connection that was refused before it could be opened: the line `connection failed`, and a count among
// the failed ones. `flow` has what is known by then: direction, addresses, our own pod's workload.
void report_refused(Telemetry& telemetry, const Flow& flow, const Error& error);

}  // namespace ambientd::l4
