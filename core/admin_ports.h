// SPDX-License-Identifier: Apache-2.0
// The three ports that people and machines ask the process on: admin (loopback only), metrics, readiness, and
// what each path answers (contract/ztunnel.md §13). Both modes answer the same paths; what is in the answers
// comes from Sources, called on the main loop.
//
// The rule: before it is destroyed, co_await stop() on its loop.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/admin.h"
#include "core/log_filter.h"
#include "core/metrics.h"
#include "core/options.h"

namespace ambientd {

class AdminPorts {
 public:
  struct Sources {
    std::function<Result<std::string>()> config_dump;   // JSON
    std::function<std::string()> tasks;                 // who waits where
    std::function<std::vector<std::string>()> pending;  // what readiness waits for; empty: ready
    std::function<void()> quit;                         // begins the drain, as SIGTERM does
    Handler why;  // explains a decision (JSON); empty: there is no such page
  };

  // `registry` outlives it; `at_start` is the log filter that `reset` goes back to.
  AdminPorts(Mode mode, const metrics::Registry& registry, log::Filter at_start, Sources sources);

  // Errors: those of Admin::listen, which name the port. Without IPv6 on loopback the admin port is on
  // 127.0.0.1 only.
  Status listen(const Ports& ports, bool ipv6);

  Task<void> stop();

 private:
  void route_admin();
  void route_metrics();
  AdminResponse ready(const AdminRequest& request) const;
  AdminResponse quit(const AdminRequest& request) const;

  const Mode mode_;
  const metrics::Registry& registry_;
  const log::Filter at_start_;
  const Sources sources_;
  Admin admin_{"admin"}, stats_{"stats"}, readiness_{"readiness"};
};

}  // namespace ambientd
