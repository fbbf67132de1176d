// SPDX-License-Identifier: Apache-2.0
// The labels of Istio's standard metrics, in the order dashboards and golden files know (contract/waypoint.md
// §4.1).
#pragma once

#include <optional>

#include "core/metrics.h"
#include "l7/telemetry.h"

namespace ambientd::l7 {

struct ResponseLabels {
  bool grpc = false;
  int status = 0;
  std::optional<int> grpc_status;
};

metrics::Labels request_labels(const Caller& caller, const Traffic& traffic, const ResponseLabels& response);
metrics::Labels connection_labels(const Caller& caller, const Traffic& traffic);

}  // namespace ambientd::l7
