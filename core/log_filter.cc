// SPDX-License-Identifier: Apache-2.0
#include "core/log_filter.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "core/text.h"

namespace ambientd::log {
namespace {

constexpr std::array<std::string_view, 6> kNames = {"trace", "debug", "info", "warn", "error", "off"};
constexpr std::string_view kOtherRoot = "ztunnel";  // how a ztunnel's users name the whole program
constexpr std::string_view kPod = "[proxy{wl=", kPodEnd = "}]=";

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

bool is_named(std::string_view pod, const Subject& about) {
  return pod.size() == about.ns.size() + 1 + about.name.size() && pod.starts_with(about.ns) &&
         pod[about.ns.size()] == '/' && pod.ends_with(about.name);
}

}  // namespace

bool is_pod_name(std::string_view text) {
  auto allowed = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.'; };
  std::vector<std::string_view> parts = split(text, '/');
  return parts.size() == 2 && std::ranges::all_of(parts, [&](std::string_view part) {
           return !part.empty() && part.size() <= 253 && std::ranges::all_of(part, allowed);
         });
}

std::string_view name(Level level) { return kNames[static_cast<size_t>(level)]; }

std::optional<Level> parse_level(std::string_view text) {
  if (equals_ignore_case(text, "warning")) return Level::warn;
  for (size_t i = 0; i < kNames.size(); ++i)
    if (equals_ignore_case(text, kNames[i])) return static_cast<Level>(i);
  return std::nullopt;
}

Result<Filter> Filter::parse(std::string_view directives) {
  Filter filter;
  for (std::string_view part : split(directives, ',')) {
    std::string_view clause = trim(part);
    if (clause.empty()) continue;
    if (Status added = filter.add_clause(clause); !added) return fail(added.error());
    if (filter.size() > kMostClauses)
      return fail(Errc::invalid, fmt::format("more than {} levels: name fewer targets", kMostClauses));
  }
  return filter;
}

Status Filter::add_clause(std::string_view text) {
  if (text.starts_with(kPod)) {
    size_t end = std::min(text.find(kPodEnd), text.size());
    std::string_view pod = text.substr(kPod.size(), end - std::min(end, kPod.size()));
    std::optional<Level> level = parse_level(text.substr(std::min(end + kPodEnd.size(), text.size())));
    if (!level || !is_pod_name(pod)) return bad_clause(text);
    set(pods_, std::string(pod), *level);
    return {};
  }
  size_t end = target_end(text);
  bool bare = end == std::string_view::npos;
  std::optional<Level> level = parse_level(bare ? text : trim(text.substr(end + 1)));
  std::string_view target = bare ? "" : trim(text.substr(0, end));
  if (!level || (!bare && target.empty())) return bad_clause(text);
  target = own_name(target);
  if (target.empty()) {
    base_ = level;
  } else {
    set(clauses_, std::string(target), *level);
  }
  return {};
}

void Filter::set(Clauses& among, std::string target, Level level) {
  auto at = std::ranges::find(among, target, &Clause::target);
  if (at != among.end()) {
    at->level = level;
  } else {
    among.push_back({std::move(target), level});
  }
}

void Filter::add(const Filter& more) {
  if (more.base_) base_ = more.base_;
  for (const Clause& clause : more.clauses_) set(clauses_, clause.target, clause.level);
  for (const Clause& pod : more.pods_) set(pods_, pod.target, pod.level);
}

void Filter::add_pod(std::string pod, Level level) { set(pods_, std::move(pod), level); }

void Filter::drop_pod(std::string_view pod) {
  std::erase_if(pods_, [pod](const Clause& each) { return each.target == pod; });
}

Level Filter::level_of(std::string_view target, const Subject& about) const {
  if (!about.name.empty()) {
    for (const Clause& pod : pods_)
      if (is_named(pod.target, about)) return pod.level;
  }
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
  for (const Clause& pod : pods_) level = std::min(level, pod.level);
  return level;
}

std::string Filter::str() const {
  std::string out;
  for (const Clause& clause : clauses_) out += fmt::format("{}={},", clause.target, name(clause.level));
  for (const Clause& pod : pods_) out += fmt::format("{}{}{}{},", kPod, pod.target, kPodEnd, name(pod.level));
  return out.append(name(base_.value_or(Level::info)));
}

}  // namespace ambientd::log
