// SPDX-License-Identifier: Apache-2.0
#include "l7/record.h"

#include <fmt/format.h>

#include "core/text.h"

namespace ambientd::l7 {
namespace {

constexpr uint64_t kFieldFraming = 4;  // `: ` and CRLF

uint64_t size_of(const Fields& fields) {
  uint64_t n = 0;
  for (const http1::Field& field : fields) n += field.name.size() + field.value.size() + kFieldFraming;
  return n;
}

// DI among the flags, in Envoy's order: what befell the upstream comes first.
std::string with_delay(std::string_view flags) {
  if (flags.empty() || flags == "-") return "DI";
  for (std::string_view later : {"FI", "DC"})
    if (flags == later) return fmt::format("DI,{}", flags);
  if (flags.ends_with(",URX")) return fmt::format("{},DI,URX", flags.substr(0, flags.size() - 4));
  return fmt::format("{},DI", flags);
}

}  // namespace

Record::Record(const Tunnel& tunnel) : tunnel_(tunnel), service_(tunnel.target.service) {
  log.start = std::chrono::system_clock::now();
  log.downstream_local = tunnel.target.destination;
  log.downstream_remote = tunnel.peer;
  if (service_) log.cluster = cluster_name(true, tunnel.target.destination.port, true, service_->hostname);
}

void Record::asked(const Request& request) {
  describe(log, request);
  grpc_ = request.is_grpc();
  head_bytes_ = request.method.size() + request.path.size() + size_of(request.fields);
}

void Record::placed(const Plan& plan) {
  endpoint_ = plan.endpoint;
  log.upstream = plan.to.address;
  log.upstream_hbone = plan.to.identity.has_value();
}

void Record::matched(const Plan& plan) { log.route = plan.rule ? plan.rule->name : "default"; }

void Record::routed(const Plan& plan) {
  if (!plan.service) return;
  bool own = service_ && plan.service->key() == service_->key();
  service_ = plan.service;
  log.cluster = cluster_name(own, plan.service_port, true, service_->hostname);
}

void Record::answered(const Response& response) {
  log.status = response.status;
  answer_bytes_ = size_of(response.fields);
  trailed(response.fields);
}

void Record::trailed(const Fields& trailers) {
  if (std::optional<int> status = grpc_status_in(trailers)) grpc_status = status;
}

void Record::tell(Worker& worker) {
  log.duration = since_start();
  if (delayed) log.flags = with_delay(log.flags);
  log.bytes_received = uploaded;
  log.bytes_sent = downloaded;
  if (worker.access_log) worker.access_log(text_line(log));
  RequestTotals totals{.grpc = grpc_,
                       .status = log.status,
                       .grpc_status = grpc_ ? grpc_status : std::nullopt,
                       .request_bytes = head_bytes_ + uploaded,
                       .response_bytes = answer_bytes_ + downloaded,
                       .duration = Clock::now() - start_};
  worker.telemetry.count(tunnel_.caller, {endpoint_, service_, log.flags}, totals);
}

}  // namespace ambientd::l7
