// SPDX-License-Identifier: Apache-2.0
#include "l7/telemetry.h"

#include <functional>
#include <unordered_map>

#include "l7/telemetry_labels.h"

namespace ambientd::l7 {
namespace {

constexpr size_t kMaxBaggageCallers = 10'000;

// Envoy's default buckets, milliseconds or bytes (contract/waypoint.md §4.1).
const std::vector<double> kBuckets{0.5,  1,    5,     10,    25,    50,     100,    250,     500,    1000,
                                   2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000};

metrics::Spec counter(std::string name, std::string help) {
  return {.name = std::move(name), .help = std::move(help), .unit = "", .buckets = {}};
}

metrics::Spec histogram(std::string name, std::string help) {
  return {.name = std::move(name), .help = std::move(help), .unit = "", .buckets = kBuckets};
}

size_t mix(size_t seed, size_t value) {
  return seed ^ (value + 0x9e3779b97f4a7c15 + (seed << 6) + (seed >> 2));
}

// A tunnel's client; the text is its baggage, where that counts.
struct CallerKey {
  std::optional<Identity> identity;
  config::WorkloadPtr workload;
  std::string baggage;
  bool operator==(const CallerKey&) const = default;
};

struct CallerKeyHash {
  size_t operator()(const CallerKey& key) const {
    size_t hash = std::hash<const void*>{}(key.workload.get());
    if (key.identity) hash = mix(hash, std::hash<Identity>{}(*key.identity));
    return mix(hash, std::hash<std::string>{}(key.baggage));
  }
};

// Everything that labels depend on. The pointers keep their records, so no address is ever reused while it is
// a key.
struct SeriesKey {
  CallerPtr caller;
  config::WorkloadPtr endpoint;
  config::ServicePtr service;
  std::string flags;
  int status = 0, grpc_status = -1;
  bool grpc = false, tcp = false;
  bool operator==(const SeriesKey&) const = default;
};

struct SeriesKeyHash {
  size_t operator()(const SeriesKey& key) const {
    size_t hash = std::hash<const void*>{}(key.caller.get());
    hash = mix(hash, std::hash<const void*>{}(key.endpoint.get()));
    hash = mix(hash, std::hash<const void*>{}(key.service.get()));
    hash = mix(hash, std::hash<std::string>{}(key.flags));
    return mix(hash, static_cast<size_t>(key.status) << 16 ^ static_cast<size_t>(key.grpc_status + 1) << 2 ^
                         static_cast<size_t>(key.grpc) << 1 ^ static_cast<size_t>(key.tcp));
  }
};

struct Handles {
  metrics::Counter requests;
  metrics::Histogram duration, request_bytes, response_bytes;
  metrics::Counter opened, closed, sent, received;
};

template <class T>
struct Used {
  T value;
  bool lately = true;
};

template <class Map>
void drop_unused(Map& map) {
  std::erase_if(map, [](const auto& entry) { return !entry.second.lately; });
  for (auto& [key, entry] : map) entry.lately = false;
}

// A server may send any number; those no specification knows are one series (gRPC: UNKNOWN).
std::optional<int> known_grpc_status(const RequestTotals& totals) {
  if (!totals.grpc || !totals.grpc_status) return {};
  return *totals.grpc_status >= 0 && *totals.grpc_status <= 16 ? *totals.grpc_status : 2;
}

}  // namespace

struct Telemetry::Table {
  std::unordered_map<CallerKey, Used<CallerPtr>, CallerKeyHash> callers;
  std::unordered_map<SeriesKey, Used<Handles>, SeriesKeyHash> series;
  size_t baggage_callers = 0;
};

MetricFamilies::MetricFamilies(metrics::Registry& registry)
    : requests(registry.counters(counter("istio_requests", "Requests the waypoint answered."))),
      duration(registry.histograms(histogram("istio_request_duration_milliseconds",
                                             "Time from the first byte of a request to its end."))),
      request_bytes(registry.histograms(histogram("istio_request_bytes", "Sizes of requests."))),
      response_bytes(registry.histograms(histogram("istio_response_bytes", "Sizes of responses."))),
      opened(registry.counters(counter("istio_tcp_connections_opened", "TCP connections that were opened."))),
      closed(registry.counters(counter("istio_tcp_connections_closed", "TCP connections that were closed."))),
      sent(registry.counters(counter("istio_tcp_sent_bytes", "Bytes sent to clients on TCP connections."))),
      received(registry.counters(
          counter("istio_tcp_received_bytes", "Bytes received from clients on TCP connections."))) {}

Telemetry::Telemetry(MetricFamilies& families, size_t worker)
    : families_(families), worker_(worker), table_(std::make_unique<Table>()) {}

Telemetry::~Telemetry() = default;

CallerPtr Telemetry::caller(const std::optional<Identity>& identity, const config::WorkloadPtr& workload,
                            std::string_view baggage) {
  CallerKey key{identity, workload, workload ? "" : std::string(baggage)};
  auto found = table_->callers.find(key);
  if (found == table_->callers.end() && !key.baggage.empty() &&
      table_->baggage_callers >= kMaxBaggageCallers) {
    key.baggage.clear();
    found = table_->callers.find(key);
  }
  if (found == table_->callers.end()) {
    table_->baggage_callers += !key.baggage.empty();
    auto made =
        std::make_shared<const Caller>(Caller{identity, workload, hbone::Baggage::parse(key.baggage)});
    found = table_->callers.emplace(std::move(key), Used<CallerPtr>{std::move(made)}).first;
  }
  found->second.lately = true;
  return found->second.value;
}

void Telemetry::count(const CallerPtr& caller, const Traffic& traffic, const RequestTotals& totals) {
  std::optional<int> grpc_status = known_grpc_status(totals);
  SeriesKey key{caller,        traffic.endpoint,         traffic.service, traffic.flags,
                totals.status, grpc_status.value_or(-1), totals.grpc,     false};
  auto [found, fresh] = table_->series.try_emplace(std::move(key));
  Handles& handles = found->second.value;
  if (fresh) {
    metrics::Labels labels = request_labels(*caller, traffic, {totals.grpc, totals.status, grpc_status});
    handles.requests = families_.requests.with(worker_, labels);
    handles.duration = families_.duration.with(worker_, labels);
    handles.request_bytes = families_.request_bytes.with(worker_, labels);
    handles.response_bytes = families_.response_bytes.with(worker_, labels);
  }
  found->second.lately = true;
  handles.requests.add();
  // Whole milliseconds, as the access log has them: dashboards compare the two.
  handles.duration.observe(
      static_cast<double>(std::chrono::duration_cast<std::chrono::milliseconds>(totals.duration).count()));
  handles.request_bytes.observe(static_cast<double>(totals.request_bytes));
  handles.response_bytes.observe(static_cast<double>(totals.response_bytes));
}

ConnectionMetrics Telemetry::open(const CallerPtr& caller, const Traffic& traffic) {
  auto [found, fresh] = table_->series.try_emplace(
      SeriesKey{caller, traffic.endpoint, traffic.service, traffic.flags, 0, -1, false, true});
  Handles& handles = found->second.value;
  if (fresh) {
    metrics::Labels labels = connection_labels(*caller, traffic);
    handles.opened = families_.opened.with(worker_, labels);
    handles.closed = families_.closed.with(worker_, labels);
    handles.sent = families_.sent.with(worker_, labels);
    handles.received = families_.received.with(worker_, labels);
  }
  found->second.lately = true;
  handles.opened.add();
  return {.received = handles.received, .sent = handles.sent, .closed = handles.closed};
}

void Telemetry::sweep() {
  drop_unused(table_->series);
  drop_unused(table_->callers);
  table_->baggage_callers = 0;
  for (const auto& [key, entry] : table_->callers) table_->baggage_callers += !key.baggage.empty();
}

}  // namespace ambientd::l7
