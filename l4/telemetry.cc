// SPDX-License-Identifier: Apache-2.0
#include "l4/telemetry.h"

#include <uv.h>

#include <utility>
#include <vector>

#include "core/log.h"
#include "l4/labels.h"
#include "l4/outcome.h"

namespace ambientd::l4 {
namespace {

using log::display;
using log::Field;

constexpr std::string_view kTarget = "access";
constexpr size_t kMostKnown =
    4096;  // kinds of traffic a worker remembers: peers choose what they say of themselves
constexpr uint32_t kSweepsUnused = 60;  // before one is forgotten

std::string_view text(Direction direction) {
  return direction == Direction::outbound ? "outbound" : "inbound";
}

// The pod of ours that it is about.
log::Subject subject_of(const Flow& flow) {
  const config::WorkloadPtr& own = flow.direction == Direction::outbound ? flow.source : flow.destination;
  return own ? log::Subject{own->ns, own->name} : log::Subject{};
}

// Log fields in order; absent ones are left out. The addresses' text lives here.
struct Line {
  std::string from, to;
  std::vector<Field> fields;

  Line(const SockAddr& src, const SockAddr& dst) : from(src.str()), to(dst.str()) { fields.reserve(20); }
  // A connection: who calls whom, over what.
  Line(const Flow& ends, const SockAddr& src, const SockAddr& dst, const std::string& authority);
  void add(std::string_view key, std::string_view value) {
    if (!value.empty()) fields.emplace_back(key, value);
  }
};

void add_source(Line& line, const Flow& flow) {
  Party source = source_of(flow);
  line.fields.emplace_back("src.addr", display(line.from));
  line.add("src.workload", source.pod);
  line.add("src.namespace", source.ns);
  if (flow.mutual_tls) line.add("src.identity", flow.source_identity);
  line.add("src.cluster", source.cluster);
}

void add_destination(Line& line, const Flow& flow, const std::string& authority) {
  Party destination = destination_of(flow);
  line.fields.emplace_back("dst.addr", display(line.to));
  if (!authority.empty()) line.fields.emplace_back("dst.hbone_addr", display(authority));
  if (flow.service) line.add("dst.service", flow.service->hostname);
  line.add("dst.workload", destination.pod);
  line.add("dst.namespace", destination.ns);
  if (flow.mutual_tls) line.add("dst.identity", flow.target_identity);
  line.add("dst.cluster", destination.cluster);
}

Line::Line(const Flow& ends, const SockAddr& src, const SockAddr& dst, const std::string& authority)
    : Line(src, dst) {
  add_source(*this, ends);
  add_destination(*this, ends, authority);
  fields.emplace_back("direction", text(ends.direction));
}

// All that tells traffic apart, as bytes. Records stand for themselves: they live as long as the entry does.
void write_key(const Flow& ends, std::string& key) {
  key.clear();
  auto add = [&key](std::string_view text) { key.append(text).push_back('\0'); };
  const void* records[] = {ends.source.get(), ends.destination.get(), ends.service.get()};
  key.append(reinterpret_cast<const char*>(records), sizeof records);
  key.push_back(static_cast<char>(2 * static_cast<int>(ends.direction) + ends.mutual_tls));
  add(ends.source_identity);
  add(ends.target_identity);
  bool known = ends.direction == Direction::inbound ? ends.source != nullptr : ends.destination != nullptr;
  if (known) return;  // and baggage does not count
  const hbone::Baggage& b = ends.baggage;
  for (const std::string* each : {&b.cluster, &b.ns, &b.workload_type, &b.workload_name, &b.service_name,
                                  &b.service_version, &b.region, &b.zone})
    add(*each);
}

}  // namespace

TrafficMetrics::TrafficMetrics(metrics::Registry& registry)
    : opened(registry.counters(
          {.name = "istio_tcp_connections_opened", .help = "The total number of TCP connections opened."})),
      closed(registry.counters(
          {.name = "istio_tcp_connections_closed", .help = "The total number of TCP connections closed."})),
      received(registry.counters(
          {.name = "istio_tcp_received_bytes",
           .help = "The size of total bytes received during request in case of a TCP connection."})),
      sent(registry.counters(
          {.name = "istio_tcp_sent_bytes",
           .help = "The size of total bytes sent during response in case of a TCP connection."})),
      failed(registry.counters(
          {.name = "istio_tcp_connections_failed",
           .help = "The total number of TCP connections that failed to establish (unstable)."})),
      revoked(registry.counters({.name = "istio_crl_policy_rejections",
                                 .help = "The total number of connections refused or cut because of a "
                                         "revocation list (unstable)."})),
      sockets(registry.gauges(
          {.name = "istio_tcp_sockets_open", .help = "The current number of open TCP sockets (unstable)."})),
      attempts(registry.counters(
          {.name = "ambientd_failed_attempts",
           .help = "The total number of attempts at an endpoint that failed and were followed by another one "
                   "(unstable)."})),
      missing_waypoints(registry.counters(
          {.name = "ambientd_missing_waypoints",
           .help =
               "The total number of calls to services and workloads whose waypoint is missing (unstable)."})),
      lookups(
          registry.counters({.name = "istio_on_demand_dns",
                             .help = "The total number of requests that used on-demand DNS (unstable)."})) {}

Telemetry::Telemetry(TrafficMetrics& metrics, size_t number)
    : metrics_(metrics),
      number_(number),
      outbound_sockets_(metrics.sockets.with(number, {{"reporter", "source"}})),
      inbound_sockets_(metrics.sockets.with(number, {{"reporter", "destination"}})) {}

void Telemetry::revoked(Direction direction) {
  metrics_.revoked.with(number_, {{"reporter", direction == Direction::outbound ? "source" : "destination"}})
      .add();
}

std::shared_ptr<Traffic> Telemetry::traffic(Flow ends) {
  write_key(ends, key_);
  auto found = known_.find(key_);
  if (found != known_.end()) return found->second.traffic;
  auto fresh = std::make_shared<Traffic>();
  metrics::Labels labels = traffic_labels(ends, "-");
  fresh->opened = metrics_.opened.with(number_, labels);
  fresh->closed = metrics_.closed.with(number_, labels);
  fresh->received = metrics_.received.with(number_, labels);
  fresh->sent = metrics_.sent.with(number_, labels);
  fresh->ends = std::move(ends);
  if (known_.size() < kMostKnown) known_.emplace(key_, Known{fresh});
  return fresh;
}

void Telemetry::sweep() {
  for (auto each = known_.begin(); each != known_.end();) {
    Known& known = each->second;
    known.unused = known.traffic.use_count() > 1 ? 0 : known.unused + 1;
    each = known.unused > kSweepsUnused ? known_.erase(each) : std::next(each);
  }
}

void Telemetry::attempt_failed(const Flow& flow, const Error& why) {
  Party destination = destination_of(flow);
  metrics_.attempts
      .with(number_, {{"reason", name(why.code)},
                      {"destination_service", flow.service ? flow.service->hostname : "unknown"},
                      {"destination_workload", or_unknown(destination.workload)},
                      {"destination_workload_namespace", or_unknown(destination.ns)}})
      .add();
  Line line(flow.from, flow.to);
  line.fields.emplace_back("src.addr", display(line.from));
  add_destination(line, flow, flow.authority);
  std::string error = error_text(why);
  line.add("error", error);
  log::write(log::Level::debug, "outbound", "attempt failed, trying another endpoint", line.fields);
}

void Telemetry::waypoint_missing(std::string_view service, std::string_view waypoint, bool passed) {
  std::string_view action = passed ? "passed" : "refused";
  metrics_.missing_waypoints
      .with(number_, {{"destination_service", or_unknown(service)},
                      {"waypoint", or_unknown(waypoint)},
                      {"action", action}})
      .add();
  if (passed)
    log::warn("outbound", "the waypoint is missing: called without it, so without its policies",
              {{"service", service}, {"waypoint", waypoint}});
}

void Telemetry::asked_dns(const config::Workload& source, std::string_view hostname) {
  Party p = party(source);
  std::string principal = source.identity().uri();
  metrics_.lookups
      .with(number_, {{"source_workload", or_unknown(p.workload)},
                      {"source_canonical_service", or_unknown(p.service)},
                      {"source_canonical_revision", or_unknown(p.revision)},
                      {"source_workload_namespace", or_unknown(p.ns)},
                      {"source_principal", principal},
                      {"source_app", or_unknown(p.app)},
                      {"source_version", or_unknown(p.version)},
                      {"source_cluster", or_unknown(p.cluster)},
                      {"hostname", hostname}})
      .add();
}

Report::Report(Telemetry& telemetry, Flow&& flow, bool is_open)
    : telemetry_(telemetry), started_ns_(uv_hrtime()) {
  redirect(std::move(flow));
  if (is_open) open();
}

void Report::redirect(Flow&& flow) {
  from_ = std::exchange(flow.from, {});
  to_ = std::exchange(flow.to, {});
  authority_ = std::exchange(flow.authority, {});
  traffic_ = telemetry_.traffic(std::move(flow));
}

void Report::open() {
  open_ = true;
  traffic_->opened.add();
  if (!log::enabled(log::Level::debug, kTarget, subject_of(ends()))) return;
  Line line(ends(), from_, to_, authority_);
  log::write_enabled(log::Level::debug, kTarget, "connection opened", line.fields);
}

void Report::count() {
  traffic_->received.add(bytes.a_to_b - std::exchange(counted_.a_to_b, bytes.a_to_b));
  traffic_->sent.add(bytes.b_to_a - std::exchange(counted_.b_to_a, bytes.b_to_a));
}

void Report::conclude(const Error* why) {
  if (!open_) open();
  count();
  std::string_view flag = why ? response_flag(why->code) : "-";
  TrafficMetrics& metrics = telemetry_.metrics_;
  if (flag == "-") {
    traffic_->closed.add();
  } else {
    metrics::Labels labels = traffic_labels(ends(), flag);
    metrics.closed.with(telemetry_.number_, labels).add();
    metrics.failed.with(telemetry_.number_, labels).add();
  }
  if (why && why->code == Errc::revoked) telemetry_.revoked(ends().direction);
  log(why);
}

void Report::log(const Error* why) const {
  log::Level level = why ? log::Level::error : log::Level::info;
  if (!log::enabled(level, kTarget, subject_of(ends()))) return;
  Line line(ends(), from_, to_, authority_);
  bool outbound = ends().direction == Direction::outbound;
  line.fields.emplace_back("bytes_sent", outbound ? bytes.a_to_b : bytes.b_to_a);
  line.fields.emplace_back("bytes_recv", outbound ? bytes.b_to_a : bytes.a_to_b);
  std::string duration = std::to_string((uv_hrtime() - started_ns_) / 1'000'000) + "ms";
  line.add("duration", duration);
  std::string error = why ? error_text(*why) : "";
  line.add("error", error);
  log::write_enabled(level, kTarget, "connection complete", line.fields);
}

void report_refused(Telemetry& telemetry, const Flow& flow, const Error& error) {
  metrics::Labels labels = traffic_labels(flow, response_flag(error.code));
  telemetry.metrics_.failed.with(telemetry.number_, labels).add();
  if (!log::enabled(log::Level::warn, kTarget, subject_of(flow))) return;
  Line line(flow.from, flow.to);
  line.fields.emplace_back("src.addr", display(line.from));
  line.fields.emplace_back("dst.addr", display(line.to));
  line.fields.emplace_back("direction", text(flow.direction));
  std::string why = error_text(error);
  line.add("error", why);
  log::write_enabled(log::Level::warn, kTarget, "connection failed", line.fields);
}

}  // namespace ambientd::l4
