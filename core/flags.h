// SPDX-License-Identifier: Apache-2.0
// Arguments and environment to Options. Flags beat environment variables; what a ztunnel or a waypoint
// container of Istio is started with (`proxy ztunnel`, `proxy waypoint --domain …`) works as it is.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/options.h"
#include "core/result.h"

namespace ambientd {

// The value of an environment variable, or nothing. main passes getenv.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;

// `arguments` without the program's name. Error: invalid, one sentence: `invalid env var X=V (reason)`, or
// the flag and what is wrong with it.
Result<Options> parse_flags(std::span<const char* const> arguments, const Environment& environment);

// Whether a proxy can be started with them. Error: invalid, with what to add.
Status runnable(const Options& options);

// What `--help` prints.
std::string help_text();

// `namespace/name/service-account`. Error: invalid.
Result<WorkloadName> parse_workload_name(std::string_view text);

// A number, a percentage of `cpus` (rounded up), or 0 for all of them; at least 1. Error: invalid.
Result<size_t> parse_workers(std::string_view text, size_t cpus);

Result<MissingWaypoint> parse_missing_waypoint(std::string_view text);  // `istio`, `refuse` or `pass`

// The part of parse_flags that reads environment variables: fills `options`. Error: invalid.
Status read_environment(const Environment& environment, Options& options);

}  // namespace ambientd
