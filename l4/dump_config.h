// SPDX-License-Identifier: Apache-2.0
// The `config`, `version` and `staticConfig` sections of the dump: what this process was told, under the
// names a ztunnel's users know (contract/ztunnel.md §13). What this build has no part for is null. Values
// that authenticate somebody (tokens, XDS_HEADER_*, CA_HEADER_*, keys) are never in it.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "config/snapshot.h"
#include "core/options.h"

namespace ambientd::l4 {

nlohmann::json config_section(const Options& options);
nlohmann::json version_section(const Options& options);

// What ztunnel's local YAML (LOCAL_XDS, LOCAL_XDS_PATH) says now, read again; three empty lists without it. A
// file that cannot be read any more is an `error` among them.
nlohmann::json static_section(const Options& options);

}  // namespace ambientd::l4
