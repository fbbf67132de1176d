// SPDX-License-Identifier: Apache-2.0
// How the two ends of a connection are named in metrics and logs (contract/ztunnel.md §12).
#pragma once

#include <string_view>

#include "core/metrics.h"
#include "l4/flow.h"

namespace ambientd::l4 {

// One end; views into the flow or workload.
struct Party {
  std::string_view pod;  // the log's name for it
  std::string_view workload, ns, service, revision, app, version, cluster, region, zone;
};

Party party(const config::Workload& workload);
// Empty where nothing is known: neither a workload nor, of the far end, what it says of itself.
Party source_of(const Flow& flow);
Party destination_of(const Flow& flow);

std::string_view or_unknown(std::string_view value);  // as labels have it

// The label set of all traffic metrics, in exposition order. `flag` is response_flag() of l4/outcome.h.
metrics::Labels traffic_labels(const Flow& flow, std::string_view flag);

}  // namespace ambientd::l4
