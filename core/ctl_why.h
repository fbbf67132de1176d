// SPDX-License-Identifier: Apache-2.0
// What `ambientd ctl why` prints: the answer of a proxy's /debug/why for people. A part is printed when the
// answer has it, so that proxies may say more, or less.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "core/result.h"

namespace ambientd::ctl {

// Error: invalid, when it is no such answer.
Result<std::string> why_text(const nlohmann::json& answer);

}  // namespace ambientd::ctl
