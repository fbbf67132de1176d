// SPDX-License-Identifier: Apache-2.0
// Which log lines are wanted: a default level and levels per target, in the grammar of RUST_LOG
// (contract/ztunnel.md §12): `info`, `info,xds=debug`, `access=off,warn`. A target is matched by its
// beginning and the longest match wins. `ztunnel::xds` means `xds`, and `:` may stand for `=`.
// `[proxy{wl=ns/name}]=debug` is the level of all lines about one pod, whatever their target.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace ambientd::log {

enum class Level : uint8_t { trace, debug, info, warn, error, off };

// The pod of ours that a line is about; borrows its texts.
struct Subject {
  std::string_view ns, name;  // both empty: no pod in particular
};

inline constexpr size_t kMostClauses = 256;  // of a filter: it is read for every line near its levels

std::string_view name(Level level);  // lower case
std::optional<Level> parse_level(std::string_view text);
bool is_pod_name(std::string_view text);  // "ns/name", in the letters Kubernetes allows

class Filter {
 public:
  // Error: invalid, naming the clause, or too many of them.
  static Result<Filter> parse(std::string_view directives);

  Level level_of(std::string_view target, const Subject& about = {}) const;  // the lowest that is wanted
  Level lowest() const;  // of any target: what is below it needs no further look
  size_t size() const { return clauses_.size() + pods_.size(); }
  void add(const Filter& more);                // what `more` names replaces what is here
  void add_pod(std::string pod, Level level);  // "ns/name"
  void drop_pod(std::string_view pod);
  std::string str() const;  // parses back: targets in order, then pods, the default last

 private:
  struct Clause {
    std::string target;  // of pods_: "ns/name"
    Level level;
  };
  using Clauses = std::vector<Clause>;
  Status add_clause(std::string_view text);
  static void set(Clauses& among, std::string target, Level level);

  std::optional<Level> base_;  // info when nobody says otherwise
  Clauses clauses_, pods_;
};

}  // namespace ambientd::log
