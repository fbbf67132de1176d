// SPDX-License-Identifier: Apache-2.0
// Which log lines are wanted: a default level and levels per target, in the grammar of RUST_LOG
// (contract/ztunnel.md §12): `info`, `info,xds=debug`, `access=off,warn`. A target is matched by its
// beginning and the longest match wins. `ztunnel::xds` means `xds`, and `:` may stand for `=`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace ambientd::log {

enum class Level : uint8_t { trace, debug, info, warn, error, off };

std::string_view name(Level level);  // lower case
std::optional<Level> parse_level(std::string_view text);

class Filter {
 public:
  // Error: invalid, naming the clause.
  static Result<Filter> parse(std::string_view directives);

  Level level_of(std::string_view target) const;  // the lowest that is wanted
  Level lowest() const;                           // of any target: what is below it needs no further look
  void add(const Filter& more);                   // what `more` names replaces what is here
  std::string str() const;                        // parses back: targets in order, the default last

 private:
  struct Clause {
    std::string target;
    Level level;
  };
  void set(std::string target, Level level);

  std::optional<Level> base_;  // info when nobody says otherwise
  std::vector<Clause> clauses_;
};

}  // namespace ambientd::log
