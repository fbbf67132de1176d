// SPDX-License-Identifier: Apache-2.0
// What the routes of the Gateway API have in common.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/field.h"
#include "config/kubernetes/objects.h"

namespace ambientd::config::kubernetes {

bool is_token(std::string_view text);              // RFC 9110 §5.6.2
std::string read_header_name(const Field& field);  // lower-cased
std::optional<uint64_t> read_time(
    const Field& field);  // a duration in milliseconds; 0: none; nothing: absent
std::optional<Regex> read_regex(const Field& field, std::string_view pattern);

// A list of matches by name; of several with one name only the first counts. Header names are lower-cased.
std::vector<NamedMatch> read_named(const Field& list, bool headers);

RouteFilters read_filters(const Field& filters);  // of a rule or of one of its backends
RouteBackend read_route_backend(const Field& field, const Meta& meta);
std::vector<Reference> read_route_parents(const Field& spec, const Meta& meta);  // and what goes with them

}  // namespace ambientd::config::kubernetes
