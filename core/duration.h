// SPDX-License-Identifier: Apache-2.0
// Durations as operators write them: `24h`, `1m30s`, `250ms`, `10` (seconds).
#pragma once

#include <chrono>
#include <string_view>

#include "core/result.h"

namespace ambientd {

// A sum of `number unit` with units ns, us, ms, s, m, h, d, w; spaces or `+` may stand between the parts; a
// number alone is seconds. Error: invalid, when it is none of this, negative, or beyond some 290 years.
Result<std::chrono::nanoseconds> parse_duration(std::string_view text);

}  // namespace ambientd
