// SPDX-License-Identifier: Apache-2.0
// L7 configuration as values: HTTPRoute rules already sorted by precedence and bound to a service, and the
// policies attached to it (contract/waypoint.md §2.1, §2.5). The router (l7/) only walks them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "config/model.h"
#include "policy/l7_authorization.h"

namespace re2 {
class RE2;
}

namespace ambientd::config {

// A user's regular expression, compiled once (RE2, full match, linear time).
class Regex {
 public:
  static std::optional<Regex> compile(std::string_view pattern);  // nothing: not RE2 syntax, or too large
  bool full_match(std::string_view text) const;
  const std::string& pattern() const;
  bool operator==(const Regex& other) const { return pattern() == other.pattern(); }

 private:
  explicit Regex(std::shared_ptr<const re2::RE2> re) : re_(std::move(re)) {}
  std::shared_ptr<const re2::RE2> re_;
};

struct PathMatch {
  enum class Kind : uint8_t {
    exact,
    prefix,
    regex
  };  // prefix is element-wise: /a matches /a and /a/b, not /ab
  Kind kind = Kind::prefix;
  std::string value = "/";
  std::optional<Regex> regex;
  bool operator==(const PathMatch&) const = default;
};

struct NamedMatch {  // a header (lower-case name) or a query parameter
  std::string name;
  std::string value;  // exact, unless regex
  std::optional<Regex> regex;
  bool operator==(const NamedMatch&) const = default;
};

struct RouteMatch {
  PathMatch path;
  std::string method;  // empty: any
  std::vector<NamedMatch> headers, query;
  bool operator==(const RouteMatch&) const = default;
};

struct HeaderOps {
  std::vector<std::pair<std::string, std::string>> set, add;
  std::vector<std::string> remove;
  bool operator==(const HeaderOps&) const = default;
  bool empty() const { return set.empty() && add.empty() && remove.empty(); }
};

struct Backend {
  std::string service;  // "ns/hostname"; empty: the reference is invalid and its share is answered 500
  uint16_t port = 0;    // service port
  uint32_t weight = 1;
  HeaderOps request_headers, response_headers;
  bool operator==(const Backend&) const = default;
};

struct RouteRule {
  std::string name;  // sectionName, or "default"
  RouteMatch match;  // one match a rule: rules with several are listed once per match
  HeaderOps request_headers, response_headers;
  std::vector<Backend> backends;  // none, or all weights 0: answered 500
  bool operator==(const RouteRule&) const = default;
};

// What a waypoint does for one service port. No rule at all and `routed` false: the default route to the
// service.
struct HttpRoutes {
  bool routed = false;           // some HTTPRoute is attached; then no match is 404
  std::vector<RouteRule> rules;  // in order of precedence: the first that matches wins
  bool operator==(const HttpRoutes&) const = default;
};

using L7PolicyPtr = std::shared_ptr<const policy::L7Authorization>;

}  // namespace ambientd::config
