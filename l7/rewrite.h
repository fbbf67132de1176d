// SPDX-License-Identifier: Apache-2.0
// What a route makes of a path (contract/waypoint.md §2.1, §2.2).
#pragma once

#include <string>
#include <string_view>

#include "config/route.h"
#include "l7/message.h"

namespace ambientd::l7 {

// `path` with its query comes back changed, the query kept unless the new path brings its own. `match` is the
// rule's, which matched it: `prefix` replaces what it matched, by elements or by text as it matches itself,
// and is a whole replacement where the match is no prefix. Always begins with `/`.
std::string changed(const config::PathChange& change, const config::PathMatch& match, std::string_view path);

// The request as the rule's backend gets it; x-envoy-original-path keeps the path it came with.
void rewrite(const config::RouteRule& rule, Request& request);

}  // namespace ambientd::l7
