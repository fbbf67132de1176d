// SPDX-License-Identifier: Apache-2.0
// JSON as block YAML, for people who read it: maps in their order, strings quoted wherever YAML could take
// them for something else.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace ambientd {

std::string yaml_text(const nlohmann::json& value);

}  // namespace ambientd
