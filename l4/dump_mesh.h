// SPDX-License-Identifier: Apache-2.0
// The mesh as `/config_dump` prints it: fields that hold their default are left out where ztunnel leaves them
// out (contract/ztunnel.md §13).
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "config/snapshot.h"

namespace ambientd::l4 {

// Fills `workloads` (by uid), `services` (by hostname) and `policies` (by key) of `out`.
void add_mesh(const config::Snapshot& snapshot, nlohmann::json& out);

// One rule of a policy, as it stands in `policies`.
nlohmann::json rule_shown(const policy::Rule& rule);
const char* action_name(policy::Authorization::Action action);
const char* scope_name(policy::Authorization::Scope scope);

}  // namespace ambientd::l4
