// SPDX-License-Identifier: Apache-2.0
#include "l7/telemetry_labels.h"

#include <string>
#include <vector>

namespace ambientd::l7 {
namespace {

using Pairs = std::vector<metrics::Labels::Pair>;

std::string_view or_else(std::string_view value, std::string_view missing = "unknown") {
  return value.empty() ? missing : value;
}

// What a workload's record and a caller's baggage both tell.
struct Described {
  std::string_view workload, ns, canonical_name, canonical_revision, cluster;
};

Described describe(const config::Workload* w) {
  if (w == nullptr) return {};
  return {w->workload_name, w->ns, w->canonical_name, w->canonical_revision, w->cluster_id};
}

Described describe(const Caller& caller) {
  if (caller.workload) return describe(caller.workload.get());
  const hbone::Baggage& b = caller.baggage;
  return {b.workload_name, b.ns, b.service_name, b.service_version, b.cluster};
}

// The namespace of the certificate wins over any record's.
void add_source(Pairs& out, const Caller& caller, std::string_view principal) {
  Described source = describe(caller);
  std::string_view ns = caller.identity ? std::string_view(caller.identity->ns) : source.ns;
  out.insert(out.end(), {{"source_workload", or_else(source.workload)},
                         {"source_canonical_service", or_else(source.canonical_name)},
                         {"source_canonical_revision", or_else(source.canonical_revision, "latest")},
                         {"source_workload_namespace", or_else(ns)},
                         {"source_principal", or_else(principal)},
                         {"source_app", or_else(source.canonical_name)},
                         {"source_version", or_else(source.canonical_revision)},
                         {"source_cluster", or_else(source.cluster)}});
}

void add_destination(Pairs& out, const Traffic& traffic, std::string_view principal) {
  static const config::Service kNone;
  Described to = describe(traffic.endpoint.get());
  const config::Service& service = traffic.service ? *traffic.service : kNone;
  out.insert(out.end(), {{"destination_workload", or_else(to.workload)},
                         {"destination_workload_namespace", or_else(to.ns)},
                         {"destination_principal", or_else(principal)},
                         {"destination_app", or_else(to.canonical_name)},
                         {"destination_version", or_else(to.canonical_revision)},
                         {"destination_service", or_else(service.hostname)},
                         {"destination_canonical_service", or_else(to.canonical_name)},
                         {"destination_canonical_revision", or_else(to.canonical_revision)},
                         {"destination_service_name", or_else(service.name)},
                         {"destination_service_namespace", or_else(service.ns)},
                         {"destination_cluster", or_else(to.cluster)}});
}

std::string principal_of(const config::Workload* workload) {
  return workload == nullptr || workload->service_account.empty() ? "" : workload->identity().uri();
}

std::string_view security_policy(const Traffic& traffic, bool both_known) {
  if (both_known) return "mutual_tls";
  return traffic.endpoint ? "none" : "unknown";
}

metrics::Labels labels(const Caller& caller, const Traffic& traffic, const Pairs& middle) {
  std::string source = caller.identity ? caller.identity->uri() : "";
  std::string destination = principal_of(traffic.endpoint.get());
  Pairs out{{"reporter", "waypoint"}};
  out.reserve(25);
  add_source(out, caller, source);
  add_destination(out, traffic, destination);
  out.insert(out.end(), middle.begin(), middle.end());
  out.emplace_back("response_flags", or_else(traffic.flags, "-"));
  out.emplace_back("connection_security_policy",
                   security_policy(traffic, !source.empty() && !destination.empty()));
  return metrics::Labels(std::span<const metrics::Labels::Pair>(out));
}

}  // namespace

metrics::Labels request_labels(const Caller& caller, const Traffic& traffic, const ResponseLabels& response) {
  std::string code = std::to_string(response.status);
  std::string grpc = response.grpc_status ? std::to_string(*response.grpc_status) : "";
  return labels(caller, traffic,
                {{"request_protocol", response.grpc ? "grpc" : "http"},
                 {"response_code", code},
                 {"grpc_response_status", grpc}});
}

metrics::Labels connection_labels(const Caller& caller, const Traffic& traffic) {
  return labels(caller, traffic, {{"request_protocol", "tcp"}});
}

}  // namespace ambientd::l7
