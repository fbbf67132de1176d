// SPDX-License-Identifier: Apache-2.0
// One thing wrong with a configuration file, said so that an operator can go and mend it: where, in which
// object, and what. An error stops the whole load; a warning says what is not honoured.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace ambientd::config {

enum class Severity : uint8_t { warning, error };

struct Problem {
  Severity severity = Severity::error;
  std::string file;
  int line = 0;         // from 1; 0: the file as a whole
  std::string subject;  // `HTTPRoute demo/server`; empty when no object is known yet
  std::string path;     // `spec.rules[0].matches`; empty for the object itself
  std::string message;

  bool operator==(const Problem&) const = default;
  std::string str() const;  // FILE:LINE: HTTPRoute demo/server: spec.rules[0].matches: message
};

using Problems = std::vector<Problem>;

bool any_error(const Problems& problems);

}  // namespace ambientd::config
