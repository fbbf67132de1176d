// SPDX-License-Identifier: Apache-2.0
// What an operator may set about ztunnel (contract/ztunnel.md §1.3, §1.4), as plain values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/options.h"
#include "core/socket.h"
#include "hbone/pool.h"
#include "hbone/session.h"

namespace ambientd::l4 {

// Whose traffic is served, and where.
struct PodSpec {
  std::string ns, name, sa;
  std::string netns;  // path of its network namespace; empty: the one this process runs in

  bool operator==(const PodSpec&) const = default;
  std::string key() const { return ns + "/" + name; }
};

// ENABLE_ORIG_SRC: whether applications see the client's own address.
enum class OriginalSource : uint8_t { never, best_effort, require };

struct Settings {
  std::vector<PodSpec> pods;
  std::string network;  // NETWORK: the one this proxy is on
  MissingWaypoint missing_waypoint = MissingWaypoint::istio;
  uint32_t mark = 0x539;  // of every socket of ours; 0: none
  bool ipv6 = true;       // IPV6_ENABLED: listen on [::], else on 0.0.0.0
  OriginalSource original_source = OriginalSource::best_effort;
  bool log_authorization = false;    // AUTHZ_POLICY_INFO_LOGGING: decisions at info instead of debug
  bool response_baggage = true;      // ENABLE_RESPONSE_BAGGAGE
  bool localhost_app_tunnel = true;  // LOCALHOST_APP_TUNNEL: PROXY tunnels go to the application on loopback
  Keepalive keepalive;
  std::string app_congestion_control;  // APP_CONGESTION_CONTROL: with applications; empty: the host's
  int backlog = 4096;                  // connections the kernel holds for each listener
  hbone::PoolLimits pool;              // connections we open
  hbone::Limits server;                // connections we accept
  uint64_t connect_ms = 10'000;        // to an application
  uint64_t answer_ms = 30'000;         // until a CONNECT is answered, connecting included
  uint64_t try_ms = 3'000;             // the same, while there is another endpoint to try
  uint64_t failover_ms = 10'000;       // for all attempts of a call together, once one has failed
  uint64_t handshake_ms = 10'000;      // of an accepted HBONE connection
  uint64_t self_wait_ms = 5'000;       // until a pod's workload is known
  size_t handshakes = 2048;            // at the same time, per worker
  size_t pod_connections = 100'000;    // of one pod, so that it leaves descriptors to the others
  Settings() { pool.session.max_header_list = 16384; }
};

// How many connections a pod may have, of `descriptors` the process may open: two each, some are ours, and
// pods may have four times their share as long as nobody gets more than half.
size_t pod_connections(size_t descriptors, size_t pods);

Settings settings_from(const Options& options);

}  // namespace ambientd::l4
