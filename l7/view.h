// SPDX-License-Identifier: Apache-2.0
// The mesh as one published state that requests are decided by: a Snapshot and what this layer derives from
// it. A new one replaces it whole; a request takes what it needs at its start and keeps no View.
#pragma once

#include <memory>
#include <optional>

#include "config/snapshot.h"
#include "l7/dispatch.h"
#include "l7/key_table.h"
#include "l7/router.h"

namespace ambientd::l7 {

struct View {
  config::SnapshotPtr snapshot;
  RouteTablesPtr routes;
  KeyTablePtr keys = std::make_shared<const KeyTable>();  // of token issuers
  std::optional<Self> self;  // nothing while the mesh does not know this waypoint's pod
};
using ViewPtr = std::shared_ptr<const View>;

}  // namespace ambientd::l7
