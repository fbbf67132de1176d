// SPDX-License-Identifier: Apache-2.0
// The mesh as `/config_dump` prints it: fields that hold their default are left out where ztunnel leaves them
// out (contract/ztunnel.md §13).
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "config/snapshot.h"

namespace ambientd::l4 {

// Fills `workloads` (by uid), `services` (by hostname) and `policies` (by key) of `out`.
void add_mesh(const config::Snapshot& snapshot, nlohmann::json& out);

}  // namespace ambientd::l4
