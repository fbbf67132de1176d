// SPDX-License-Identifier: Apache-2.0
// How many pods' proxies run, and how many have yet to: the workload_manager_* metrics of contract/ztunnel.md
// §12. Only a proxy that serves pods in namespaces of their own has them. Used on the main loop.
#pragma once

#include <cstddef>

#include "core/metrics.h"

namespace ambientd::l4 {

class PodCounts {
 public:
  PodCounts(metrics::Registry& registry, bool shared);

  void bound(size_t pods);    // they have listeners, and wait for the mesh
  void started(size_t pods);  // of them: their connections are accepted
  void stopped();             // all of them

 private:
  void show();
  metrics::Gauge active_, pending_;
  metrics::Counter starts_, stops_;
  size_t running_ = 0, waiting_ = 0;
};

}  // namespace ambientd::l4
