// SPDX-License-Identifier: Apache-2.0
#include "l4/labels.h"

#include <string>
#include <vector>

namespace ambientd::l4 {
namespace {

Party party(const hbone::Baggage& b) {
  return {.pod = b.service_name,
          .workload = b.workload_name,
          .ns = b.ns,
          .service = b.service_name,
          .revision = b.service_version,
          .app = b.workload_name,
          .version = b.service_version,
          .cluster = b.cluster,
          .region = b.region,
          .zone = b.zone};
}

// Who was called, also over plain TCP, as far as it has an account of its own.
std::string principal_of_destination(const Flow& flow) {
  if (!flow.destination) return flow.direction == Direction::outbound ? flow.target_identity : std::string();
  return flow.destination->service_account.empty() ? std::string() : flow.destination->identity().uri();
}

}  // namespace

Party party(const config::Workload& w) {
  return {.pod = w.name.empty() ? std::string_view(w.canonical_name) : w.name,
          .workload = w.workload_name,
          .ns = w.ns,
          .service = w.canonical_name,
          .revision = w.canonical_revision,
          .app = w.canonical_name,
          .version = w.canonical_revision,
          .cluster = w.cluster_id,
          .region = w.locality.region,
          .zone = w.locality.zone};
}

Party source_of(const Flow& flow) {
  if (flow.source) return party(*flow.source);
  return flow.direction == Direction::inbound ? party(flow.baggage) : Party{};
}
Party destination_of(const Flow& flow) {
  if (flow.destination) return party(*flow.destination);
  return flow.direction == Direction::outbound ? party(flow.baggage) : Party{};
}

std::string_view or_unknown(std::string_view value) { return value.empty() ? "unknown" : value; }

metrics::Labels traffic_labels(const Flow& flow, std::string_view flag) {
  Party source = source_of(flow), destination = destination_of(flow);
  std::string target = principal_of_destination(flow);
  const config::Service* service = flow.service.get();
  std::vector<metrics::Labels::Pair> pairs = {
      {"reporter", flow.direction == Direction::outbound ? "source" : "destination"},
      {"source_workload", or_unknown(source.workload)},
      {"source_canonical_service", or_unknown(source.service)},
      {"source_canonical_revision", or_unknown(source.revision)},
      {"source_workload_namespace", or_unknown(source.ns)},
      {"source_principal", or_unknown(flow.mutual_tls ? std::string_view(flow.source_identity) : "")},
      {"source_app", or_unknown(source.app)},
      {"source_version", or_unknown(source.version)},
      {"source_cluster", or_unknown(source.cluster)},
      {"destination_service", or_unknown(service ? std::string_view(service->hostname) : "")},
      {"destination_service_namespace", or_unknown(service ? std::string_view(service->ns) : "")},
      {"destination_service_name", or_unknown(service ? std::string_view(service->name) : "")},
      {"destination_workload", or_unknown(destination.workload)},
      {"destination_canonical_service", or_unknown(destination.service)},
      {"destination_canonical_revision", or_unknown(destination.revision)},
      {"destination_workload_namespace", or_unknown(destination.ns)},
      {"destination_principal", or_unknown(target)},
      {"destination_app", or_unknown(destination.app)},
      {"destination_version", or_unknown(destination.version)},
      {"destination_cluster", or_unknown(destination.cluster)},
      {"request_protocol", "tcp"},
      {"response_flags", flag},
      {"connection_security_policy", flow.mutual_tls ? "mutual_tls" : "unknown"},
  };
  if (flow.source || flow.destination) {
    pairs.emplace_back("source_region", or_unknown(source.region));
    pairs.emplace_back("source_zone", or_unknown(source.zone));
    pairs.emplace_back("destination_region", or_unknown(destination.region));
    pairs.emplace_back("destination_zone", or_unknown(destination.zone));
  }
  return metrics::Labels(pairs);
}

}  // namespace ambientd::l4
