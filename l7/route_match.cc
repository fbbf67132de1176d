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

bool is_equal(std::string_view a, std::string_view b, bool ignore_case) {
  return ignore_case ? equals_ignore_case(a, b) : a == b;
}

bool begins(std::string_view text, std::string_view prefix, bool ignore_case) {
  return text.size() >= prefix.size() && is_equal(text.substr(0, prefix.size()), prefix, ignore_case);
}

bool allows(const std::optional<config::StringMatch>& match, std::string_view value) {
  return !match || matches(*match, value);
}

bool allows(const config::NamedMatch& match, std::optional<std::string_view> value) {
  if (match.inverted) return !matches(match.text, value.value_or(""));
  return value && matches(match.text, *value);
}

}  // namespace

bool matches(const config::StringMatch& match, std::string_view text) {
  switch (match.kind) {
    case config::StringMatch::Kind::exact:
      return is_equal(text, match.value, match.ignore_case);
    case config::StringMatch::Kind::prefix:
      return begins(text, match.value, match.ignore_case);
    case config::StringMatch::Kind::regex:
      return match.regex && match.regex->full_match(text);
    case config::StringMatch::Kind::present:
      return true;
  }
  return false;
}

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

bool RouteSubject::claims(const config::ClaimMatch& match) const {
  return token_ != nullptr && std::ranges::any_of(token_->claims, [&](const policy::Claim& claim) {
           return claim.path == match.claim && matches(match.text, claim.value);
         });
}

std::string_view prefix_elements(std::string_view prefix) {
  if (prefix.ends_with('/')) prefix.remove_suffix(1);
  return prefix;
}

bool matches(const config::PathMatch& match, std::string_view path) {
  switch (match.kind) {
    case config::PathMatch::Kind::exact:
      return is_equal(path, match.value, match.ignore_case);
    case config::PathMatch::Kind::raw_prefix:
      return begins(path, match.value, match.ignore_case);
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
  return allows(match.method, subject.method()) && allows(match.scheme, subject.scheme()) &&
         allows(match.authority, subject.authority()) && matches(match.path, subject.path()) &&
         std::ranges::all_of(match.headers,
                             [&](const auto& m) { return allows(m, subject.field(m.name)); }) &&
         std::ranges::all_of(match.query,
                             [&](const auto& m) { return allows(m, subject.parameter(m.name)); }) &&
         std::ranges::all_of(match.claims, [&](const auto& m) { return subject.claims(m) != m.inverted; });
}

}  // namespace ambientd::l7
