// SPDX-License-Identifier: Apache-2.0
// What the routes of the Gateway API have in common. A kind reads its own matches and what else its rules
// hold.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "config/field.h"
#include "config/kubernetes/objects.h"

namespace ambientd::config::kubernetes {

// The whole object, each of its rules by `read_rule`; without any it has one that matches everything.
Route read_route(Meta meta, const Field& root, RouteRuleSpec (*read_rule)(const Field&, const Meta&));

// What a rule of every kind has: name, matches (at least one), filters, backends.
RouteRuleSpec read_route_rule(const Field& field, const Meta& meta, RouteMatch (*read_match)(const Field&));

RouteFilters read_filters(const Field& filters);  // of a rule or of one of its backends

// A list of matches by name; of several with one name only the first counts. Header names are lower-cased.
std::vector<NamedMatch> read_named(const Field& list, bool headers);

std::optional<Regex> read_regex(const Field& field, std::string_view pattern);

// A duration in milliseconds, 0 for none; nothing where the field is absent.
std::optional<uint64_t> read_time(const Field& field);

}  // namespace ambientd::config::kubernetes
