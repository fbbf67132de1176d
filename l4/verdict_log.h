// SPDX-License-Identifier: Apache-2.0
// What authorization decided about a connection, as log lines about the pod that was called
// (contract/ztunnel.md §7). They are at debug; AUTHZ_POLICY_INFO_LOGGING makes them info.
#pragma once

#include <span>

#include "config/model.h"
#include "core/log.h"
#include "policy/authorization.h"

namespace ambientd::l4 {

bool logs_verdicts(log::Level level, const config::Workload& called);

void log_verdict(log::Level level, const config::Workload& called, const policy::Peer& peer,
                 const policy::Verdict& verdict, std::span<const policy::DryRun> dry_runs);

}  // namespace ambientd::l4
