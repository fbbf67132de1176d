// SPDX-License-Identifier: Apache-2.0
#include "config/problem.h"

#include <algorithm>

namespace ambientd::config {

std::string Problem::str() const {
  std::string out = file;
  if (line > 0) out += ":" + std::to_string(line);
  for (const std::string* part : {&subject, &path, &message})
    if (!part->empty()) out += (out.empty() ? "" : ": ") + *part;
  return out;
}

bool any_error(const Problems& problems) {
  return std::ranges::any_of(problems, [](const Problem& p) { return p.severity == Severity::error; });
}

}  // namespace ambientd::config
