// SPDX-License-Identifier: Apache-2.0
#include "core/log_filter.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/text.h"

namespace ambientd::log {
namespace {

constexpr std::array<std::string_view, 6> kNames = {"trace", "debug", "info", "warn", "error", "off"};
constexpr std::string_view kOtherRoot = "ztunnel";  // how a ztunnel's users name the whole program

// Where a clause's target ends: at `=`, or at a single `:` (a target may contain `::`).
size_t target_end(std::string_view clause) {
  if (size_t equals = clause.find('='); equals != std::string_view::npos) return equals;
  size_t colon = clause.rfind(':');
  if (colon == std::string_view::npos || colon == 0 || clause[colon - 1] == ':')
    return std::string_view::npos;
  return colon;
}

std::string_view own_name(std::string_view target) {
  if (target == kOtherRoot) return "";
  if (target.starts_with(kOtherRoot) && target.substr(kOtherRoot.size()).starts_with("::"))
    return target.substr(kOtherRoot.size() + 2);
  return target;
}

std::unexpected<Error> bad_clause(std::string_view clause) {
  return fail(Errc::invalid,
              fmt::format("Invalid level provided: {} (want trace, debug, info, warn, error, off, or "
                          "target=level, separated by commas)",
                          clause));
}

}  // namespace

std::string_view name(Level level) { return kNames[static_cast<size_t>(level)]; }

std::optional<Level> parse_level(std::string_view text) {
  for (size_t i = 0; i < kNames.size(); ++i)
    if (equals_ignore_case(text, kNames[i])) return static_cast<Level>(i);
  return std::nullopt;
}

Result<Filter> Filter::parse(std::string_view directives) {
  Filter filter;
  for (std::string_view part : split(directives, ',')) {
    std::string_view clause = trim(part);
    if (clause.empty()) continue;
    size_t end = target_end(clause);
    bool bare = end == std::string_view::npos;
    std::optional<Level> level = parse_level(bare ? clause : trim(clause.substr(end + 1)));
    std::string_view target = bare ? "" : trim(clause.substr(0, end));
    if (!level || (!bare && target.empty())) return bad_clause(clause);
    filter.set(std::string(own_name(target)), *level);
  }
  return filter;
}

void Filter::set(std::string target, Level level) {
  if (target.empty()) {
    base_ = level;
    return;
  }
  auto at = std::ranges::find(clauses_, target, &Clause::target);
  if (at != clauses_.end()) {
    at->level = level;
  } else {
    clauses_.push_back({std::move(target), level});
  }
}

void Filter::add(const Filter& more) {
  if (more.base_) base_ = more.base_;
  for (const Clause& clause : more.clauses_) set(clause.target, clause.level);
}

Level Filter::level_of(std::string_view target) const {
  size_t longest = 0;
  Level level = base_.value_or(Level::info);
  for (const Clause& clause : clauses_) {
    if (!target.starts_with(clause.target) || clause.target.size() <= longest) continue;
    longest = clause.target.size();
    level = clause.level;
  }
  return level;
}

Level Filter::lowest() const {
  Level level = base_.value_or(Level::info);
  for (const Clause& clause : clauses_) level = std::min(level, clause.level);
  return level;
}

std::string Filter::str() const {
  std::string out;
  for (const Clause& clause : clauses_) out += fmt::format("{}={},", clause.target, name(clause.level));
  return out.append(name(base_.value_or(Level::info)));
}

}  // namespace ambientd::log
