// SPDX-License-Identifier: Apache-2.0
// What an inbound CONNECT may reach: steps (2) to (8) of contract/ztunnel.md §5.3, without I/O. The rule: the
// application is always dialled at the address the peer's connection came in on, so a CONNECT can only ever
// reach the pod it was sent to.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "config/snapshot.h"
#include "core/ip.h"
#include "core/result.h"

namespace ambientd::l4 {

struct Admission {
  SockAddr app;                // the application: what policies judge and what is dialled
  config::ServicePtr service;  // the service the authority names, when it is a hostname
  // The application is told of the connection by a PROXY header: where it was meant to go, and to which
  // service.
  struct Told {
    SockAddr target;
    std::string hostname;
  };
  std::optional<Told> told{};
};

// `local`: the pod's end of the connection that carried the CONNECT. `authority` is host:port
// (hbone/connect.h has checked that). Errors: ip_mismatch, not_found (the hostname), no_destination (its
// port), self_call, bad_request.
Result<Admission> validate(const config::Snapshot& snapshot, std::string_view network,
                           const config::Workload& self, const SockAddr& local, std::string_view authority);

// The service an inbound connection belongs to, for logs and metrics: the one the peer says the application
// meant, where it is one of ours; else the first whose port leads to `app_port`. Null: none.
config::ServicePtr meant_service(const config::Snapshot& snapshot, const config::Workload& self,
                                 std::string_view forwarded_host, uint16_t app_port);

// Who is at `source`. Null: unknown, or the peer says it is on another network, where addresses mean others.
config::WorkloadPtr source_workload(const config::Snapshot& snapshot, std::string_view network,
                                    const Ip& source, const std::optional<std::string>& forwarded_network);

}  // namespace ambientd::l4
