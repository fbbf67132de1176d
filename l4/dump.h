// SPDX-License-Identifier: Apache-2.0
// The `/config_dump` document of port 15000, key for key as istioctl reads it (contract/ztunnel.md §13).
#pragma once

#include <string>
#include <vector>

#include "config/snapshot.h"
#include "core/certificates.h"
#include "l4/settings.h"
#include "l4/telemetry.h"

namespace ambientd::l4 {

// A connection being carried, as the dump shows it.
struct ConnectionView {
  Direction direction = Direction::outbound;
  SockAddr from, target;       // outbound: what the application dialled; inbound: the application
  SockAddr next;               // outbound: the next hop
  std::string forwarded_host;  // inbound: the hostname the peer's application meant
  bool hbone = false;
};

struct PodView {
  PodSpec spec;
  std::string uid;  // of its workload; empty: unknown yet
  std::vector<ConnectionView> connections;
};

struct Worker;
// What a worker carries of each of its pods; `out` has one entry a pod. On the worker's thread.
void collect(Worker& worker, std::vector<PodView>& out);

// `snapshot` may be null. Pretty-printed JSON, keys sorted.
std::string config_dump(const config::Snapshot* snapshot,
                        const std::vector<Certificates::Listed>& certificates,
                        const std::vector<PodView>& pods, const Options& options);

}  // namespace ambientd::l4
