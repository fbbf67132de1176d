// SPDX-License-Identifier: Apache-2.0
// Path templates of AuthorizationPolicy (contract/waypoint.md §2.5): `/a/{*}/b` where {*} is one segment that
// is not empty, `/a/{**}` where {**} is any text, slashes included, and may be nothing.
#pragma once

#include <string_view>

namespace ambientd::policy {

bool is_path_template(std::string_view text);  // has {*} or {**} in it

// Whether operators are whole segments, {**} is the last of them and stands once, and there is no other
// brace. What is not valid never matches, so whoever builds a policy must refuse it.
bool is_valid_template(std::string_view text);

// Linear in the path's length.
bool template_matches(std::string_view pattern, std::string_view path);

}  // namespace ambientd::policy
