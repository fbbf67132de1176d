// SPDX-License-Identifier: Apache-2.0
#include "l7/rewrite.h"

#include <algorithm>

#include "l7/route_match.h"

namespace ambientd::l7 {
namespace {

using config::PathChange;
using config::PathMatch;

// `/foo` and `/foo/` are one prefix, and what follows them begins with `/` or is nothing.
std::string with_prefix(const PathMatch& match, const std::string& text, std::string_view path) {
  if (match.kind == PathMatch::Kind::prefix)
    return std::string(prefix_elements(text)).append(path.substr(prefix_elements(match.value).size()));
  if (match.kind == PathMatch::Kind::raw_prefix)
    return std::string(text).append(path.substr(std::min(match.value.size(), path.size())));
  return text;
}

std::string new_path(const PathChange& change, const PathMatch& match, std::string_view path) {
  switch (change.kind) {
    case PathChange::Kind::whole:
      return change.text;
    case PathChange::Kind::prefix:
      return with_prefix(match, change.text, path);
    case PathChange::Kind::regex:
      return change.regex ? change.regex->replaced(path, change.text) : std::string(path);
  }
  return std::string(path);
}

}  // namespace

std::string changed(const PathChange& change, const PathMatch& match, std::string_view path) {
  size_t end = std::min(path.find('?'), path.size());
  std::string out = new_path(change, match, path.substr(0, end));
  if (!out.starts_with('/')) out.insert(0, 1, '/');
  if (!out.contains('?')) out.append(path.substr(end));
  return out;
}

void rewrite(const config::RouteRule& rule, Request& request) {
  const config::Rewrite& to = rule.rewrite;
  if (!to.authority.empty()) request.authority = to.authority;
  if (!to.path) return;
  set_field(request.fields, "x-envoy-original-path", request.path);
  request.path = changed(*to.path, rule.match.path, request.path);
}

}  // namespace ambientd::l7
