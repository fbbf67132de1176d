// SPDX-License-Identifier: Apache-2.0
#include "l7/route_match.h"

#include <algorithm>

#include "core/text.h"
#include "l7/path.h"

namespace ambientd::l7 {
namespace {

std::optional<std::string_view> member(const Request& request, std::string_view name) {
  if (name == ":authority" || name == "host") return request.authority;
  if (name == ":method") return request.method;
  if (name == ":path") return request.path;
  if (name == ":scheme") return request.scheme;
  return {};
}

bool matches(const config::NamedMatch& match, std::optional<std::string_view> value) {
  if (!value) return false;
  return match.regex ? match.regex->full_match(*value) : *value == match.value;
}

}  // namespace

std::optional<std::string_view> RouteSubject::field(std::string_view name) {
  if (std::optional<std::string_view> found = member(request_, name)) return found;
  const std::string* first = nullptr;
  bool several = false;
  for (const http1::Field& line : request_.fields) {
    if (line.name != name) continue;
    if (first == nullptr) {
      first = &line.value;
      continue;
    }
    if (!several) joined_ = *first;
    several = true;
    joined_.append(",").append(line.value);
  }
  if (first == nullptr) return {};
  return several ? joined_ : *first;
}

std::optional<std::string_view> RouteSubject::parameter(std::string_view name) {
  if (!parameters_) {
    parameters_.emplace();
    for (std::string_view part : split(request_.query(), '&')) {
      size_t equals = std::min(part.find('='), part.size());
      std::string_view value = part.substr(std::min(equals + 1, part.size()));
      parameters_->emplace(percent_decoded(part.substr(0, equals)), percent_decoded(value));
    }
  }
  auto found = parameters_->find(std::string(name));
  if (found == parameters_->end()) return {};
  return found->second;
}

std::string_view prefix_elements(std::string_view prefix) {
  if (prefix.ends_with('/')) prefix.remove_suffix(1);
  return prefix;
}

bool matches(const config::PathMatch& match, std::string_view path) {
  switch (match.kind) {
    case config::PathMatch::Kind::exact:
      return path == match.value;
    case config::PathMatch::Kind::prefix: {
      std::string_view prefix = prefix_elements(match.value);
      if (prefix.empty()) return true;
      return path.starts_with(prefix) && (path.size() == prefix.size() || path[prefix.size()] == '/');
    }
    case config::PathMatch::Kind::regex:
      return match.regex && match.regex->full_match(path);
  }
  return false;
}

bool matches(const config::RouteMatch& match, RouteSubject& subject) {
  if (!match.method.empty() && match.method != subject.method()) return false;
  return matches(match.path, subject.path()) &&
         std::ranges::all_of(match.headers,
                             [&](const auto& m) { return matches(m, subject.field(m.name)); }) &&
         std::ranges::all_of(match.query,
                             [&](const auto& m) { return matches(m, subject.parameter(m.name)); });
}

}  // namespace ambientd::l7
