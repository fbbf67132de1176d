// SPDX-License-Identifier: Apache-2.0
// What the metrics port answers: the registry in the format the scraper asked for, else the proxy's usual
// one.
#pragma once

#include "core/admin.h"
#include "core/metrics.h"

namespace ambientd::metrics {

AdminResponse answer(const Registry& registry, const AdminRequest& request, Format usual);

}  // namespace ambientd::metrics
