// SPDX-License-Identifier: Apache-2.0
#include "l4/pod_counts.h"

namespace ambientd::l4 {

PodCounts::PodCounts(metrics::Registry& registry, bool shared) {
  if (!shared) return;
  active_ = registry
                .gauges({.name = "workload_manager_active_proxy_count",
                         .help = "The current number of pods whose proxy runs (unstable)."})
                .with(0);
  pending_ = registry
                 .gauges({.name = "workload_manager_pending_proxy_count",
                          .help = "The current number of pods whose proxy waits to run (unstable)."})
                 .with(0);
  starts_ = registry
                .counters({.name = "workload_manager_proxies_started",
                           .help = "The total number of proxies that were started (unstable)."})
                .with(0);
  stops_ = registry
               .counters({.name = "workload_manager_proxies_stopped",
                          .help = "The total number of proxies that were stopped (unstable)."})
               .with(0);
}

void PodCounts::bound(size_t pods) {
  waiting_ += pods;
  show();
}

void PodCounts::started(size_t pods) {
  waiting_ -= pods;
  running_ += pods;
  starts_.add(pods);
  show();
}

void PodCounts::stopped() {
  stops_.add(running_);
  running_ = waiting_ = 0;
  show();
}

void PodCounts::show() {
  active_.set(static_cast<int64_t>(running_));
  pending_.set(static_cast<int64_t>(waiting_));
}

}  // namespace ambientd::l4
