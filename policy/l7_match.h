// SPDX-License-Identifier: Apache-2.0
// The algebra of one AuthorizationPolicy rule over one request (contract/waypoint.md §2.5): any `from` and
// any `to` and every `when`.
#pragma once

#include "policy/l7_authorization.h"

namespace ambientd::policy {

// On TCP an ALLOW rule that has an L7-only field never matches; in a rule of any other action such fields are
// passed over, so it matches more.
bool rule_matches(const L7Rule& rule, L7Authorization::Action action, const Request& request);

}  // namespace ambientd::policy
