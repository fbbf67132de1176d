// SPDX-License-Identifier: Apache-2.0
// Where tokens are in a request (contract/waypoint.md §2.6), and how those a rule does not forward are taken
// out again. Every value of a header, parameter or cookie counts by itself: a second token beside a good one
// is judged as well.
#pragma once

#include <string>
#include <vector>

#include "l7/message.h"
#include "policy/jwt_rule.h"

namespace ambientd::l7 {

// In the order of headers, parameters, cookies. A header counts when its prefix is anywhere in its value; the
// token is what follows.
std::vector<std::string> find_tokens(const policy::JwtRule& rule, const Request& request);

// The headers that held a token of the rule; parameters and cookies stay.
void remove_tokens(const policy::JwtRule& rule, Request& request);

// OPTIONS with what a browser asks before it sends credentials: never has a token.
bool is_cors_preflight(const Request& request);

}  // namespace ambientd::l7
