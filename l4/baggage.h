// SPDX-License-Identifier: Apache-2.0
// What we tell peers about a workload of ours (contract/ztunnel.md §5.2).
#pragma once

#include "config/model.h"
#include "hbone/connect.h"

namespace ambientd::l4 {

inline const char* type_name(config::WorkloadType type) {
  switch (type) {
    case config::WorkloadType::deployment:
      return "deployment";
    case config::WorkloadType::cronjob:
      return "cronjob";
    case config::WorkloadType::pod:
      return "pod";
    case config::WorkloadType::job:
      return "job";
  }
  return "deployment";
}

inline hbone::Baggage baggage_of(const config::Workload& workload) {
  return {.cluster = workload.cluster_id,
          .ns = workload.ns,
          .workload_type = type_name(workload.workload_type),
          .workload_name = workload.workload_name,
          .service_name = workload.canonical_name,
          .service_version = workload.canonical_revision,
          .region = workload.locality.region,
          .zone = workload.locality.zone};
}

}  // namespace ambientd::l4
