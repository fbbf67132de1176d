// SPDX-License-Identifier: Apache-2.0
// L7 configuration as values: rules of HTTPRoutes, GRPCRoutes and VirtualServices, already sorted by
// precedence and bound to a service port, and the policies attached to it (contract/waypoint.md §2.1, §2.2,
// §2.5). The router (l7/) only walks them.
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
  static std::string escaped(std::string_view text);              // a pattern that matches just that
  bool full_match(std::string_view text) const;
  // Every match in `text` replaced; `substitution` names groups as \1 and was accepted.
  std::string replaced(std::string_view text, std::string_view substitution) const;
  bool accepts(std::string_view substitution) const;  // it names only groups there are
  const std::string& pattern() const;
  bool operator==(const Regex& other) const { return pattern() == other.pattern(); }

 private:
  explicit Regex(std::shared_ptr<const re2::RE2> re) : re_(std::move(re)) {}
  std::shared_ptr<const re2::RE2> re_;
};

// How one text is compared.
struct StringMatch {
  enum class Kind : uint8_t { exact, prefix, regex, present };
  Kind kind = Kind::exact;
  std::string value;
  std::optional<Regex> regex;
  bool ignore_case = false;  // of exact and prefix
  bool operator==(const StringMatch&) const = default;
};

struct PathMatch {
  // prefix is element-wise (/a matches /a and /a/b, not /ab); raw_prefix is a VirtualService's, any text.
  enum class Kind : uint8_t { exact, prefix, regex, raw_prefix };
  Kind kind = Kind::prefix;
  std::string value = "/";
  std::optional<Regex> regex;
  bool ignore_case = false;  // of exact and raw_prefix
  bool operator==(const PathMatch&) const = default;
};

struct NamedMatch {  // a header (lower-case name) or a query parameter
  std::string name;
  StringMatch text;
  bool inverted = false;  // a VirtualService's withoutHeaders: one that is missing reads as empty
  bool operator==(const NamedMatch&) const = default;
};

struct ClaimMatch {                // of the token that was believed
  std::vector<std::string> claim;  // the way down: {"a", "b"} is a.b
  StringMatch text;                // a list matches when one of it does
  bool inverted = false;
  bool operator==(const ClaimMatch&) const = default;
};

struct RouteMatch {
  PathMatch path;
  std::optional<StringMatch> method, scheme, authority;  // nothing: any
  std::vector<NamedMatch> headers, query;
  std::vector<ClaimMatch> claims;
  bool operator==(const RouteMatch&) const = default;
};

// Values may hold Envoy's format operators: %REQ(X-A)%; %% is a percent sign.
struct HeaderOps {
  std::vector<std::pair<std::string, std::string>> set, add;
  std::vector<std::string> remove;
  bool operator==(const HeaderOps&) const = default;
  bool empty() const { return set.empty() && add.empty() && remove.empty(); }
};

struct Backend {
  std::string service;  // "ns/hostname"; empty: the reference is invalid and its share is answered 500
  uint16_t port = 0;    // service port
  std::string subset;   // of the service's DestinationRule; empty: all endpoints
  uint32_t weight = 1;
  HeaderOps request_headers, response_headers;
  bool operator==(const Backend&) const = default;
};

// What becomes of a path.
struct PathChange {
  enum class Kind : uint8_t { whole, prefix, regex };
  Kind kind = Kind::whole;     // prefix: what the match's path matched is replaced
  std::string text;            // the new path, or part; of regex: a substitution with \1
  std::optional<Regex> regex;  // every match of it in the path is substituted
  bool operator==(const PathChange&) const = default;
};

struct Redirect {  // contract/waypoint.md §2.1, §2.2
  enum class Port : uint8_t { keep, given, of_scheme, of_request };
  std::string scheme, authority;  // empty: as asked
  std::optional<PathChange> path;
  Port port_from = Port::keep;
  uint16_t port = 0;
  int status = 302;
  bool operator==(const Redirect&) const = default;
};

struct DirectResponse {
  int status = 200;
  std::string body;  // at most 1 MiB
  bool operator==(const DirectResponse&) const = default;
};

struct Rewrite {
  std::string authority;  // empty: as asked
  std::optional<PathChange> path;
  bool operator==(const Rewrite&) const = default;
};

inline constexpr uint32_t kMillion = 1'000'000;

struct Mirror {
  Backend to;  // weight and headers mean nothing here
  uint32_t per_million = kMillion;
  bool operator==(const Mirror&) const = default;
};

struct Cors {
  std::vector<StringMatch> allow_origins;
  std::vector<std::string> allow_methods, allow_headers, expose_headers;
  std::optional<uint64_t> max_age_s;
  bool allow_credentials = false;
  bool forward_unmatched_preflights = false;  // else answered 200 without a word of allowance
  bool operator==(const Cors&) const = default;
};

struct FaultInjection {  // a delay first, then an abort, rolled independently
  uint64_t delay_ms = 0;
  uint32_t delay_per_million = 0;
  int abort_status = 0;           // HTTP
  std::optional<int> abort_grpc;  // or grpc-status
  uint32_t abort_per_million = 0;
  bool operator==(const FaultInjection&) const = default;
};

struct RetryPolicy {  // the defaults are those of every route (contract/waypoint.md §2.3)
  enum On : uint32_t {
    on_5xx = 1 << 0,
    on_gateway_error = 1 << 1,
    on_reset = 1 << 2,
    on_reset_before_request = 1 << 3,
    on_connect_failure = 1 << 4,
    on_ratelimited = 1 << 5,
    on_retriable_4xx = 1 << 6,
    on_refused_stream = 1 << 7,
    on_statuses = 1 << 8,
    on_cancelled = 1 << 9,  // this and the next four: grpc-status of a response without a body
    on_deadline_exceeded = 1 << 10,
    on_internal = 1 << 11,
    on_resource_exhausted = 1 << 12,
    on_unavailable = 1 << 13,
  };
  uint32_t on = on_connect_failure | on_refused_stream | on_unavailable | on_cancelled | on_statuses;
  std::vector<uint16_t> statuses;  // of on_statuses
  uint32_t retries = 2;            // beyond the first attempt; 0: none
  uint64_t per_try_ms = 0;         // 0: no bound of its own
  uint64_t base_ms = 25, max_ms = 250;
  bool avoid_tried = true;  // endpoints that one attempt failed at
  bool operator==(const RetryPolicy&) const = default;
};

struct RouteRule {
  std::string name;  // sectionName, or "default"
  RouteMatch match;  // one match a rule: rules with several are listed once per match
  HeaderOps request_headers, response_headers;
  std::vector<Backend> backends;  // none, or all weights 0: answered 500
  std::optional<Redirect> redirect;
  std::optional<DirectResponse> direct;
  Rewrite rewrite;
  std::vector<Mirror> mirrors;
  std::optional<Cors> cors;
  FaultInjection fault;
  RetryPolicy retry;
  std::optional<uint64_t> timeout_ms;  // of the whole request; 0: none; nothing: grpc-timeout counts
  bool operator==(const RouteRule&) const = default;
};

// What a waypoint does for one service port. No rule at all and `routed` false: the default route to the
// service.
struct HttpRoutes {
  bool routed = false;           // some route is attached; then no match is 404
  std::vector<RouteRule> rules;  // in order of precedence: the first that matches wins
  bool operator==(const HttpRoutes&) const = default;
};

// What a TCP connection to one service port goes to, by weight; empty: the service itself.
struct TcpRoutes {
  std::vector<Backend> backends;
  bool operator==(const TcpRoutes&) const = default;
};

using L7PolicyPtr = std::shared_ptr<const policy::L7Authorization>;

}  // namespace ambientd::config
