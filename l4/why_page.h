// SPDX-License-Identifier: Apache-2.0
// GET /debug/why?src=…&dst=… of the admin port: an Explanation as JSON, which `ambientd ctl why` prints. It
// names what the configuration holds, never a certificate, a key or a token.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "core/admin.h"
#include "core/options.h"
#include "l4/explain.h"

namespace ambientd::l4 {

nlohmann::json shown(const Explanation& explanation);

// 405: not a GET; 400: src or dst is missing, too long or cannot be read; 404: not in the mesh; 503: no
// configuration yet.
AdminResponse answer_why(const config::Snapshot* snapshot, const Options& options,
                         const AdminRequest& request);

}  // namespace ambientd::l4
