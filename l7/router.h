// SPDX-License-Identifier: Apache-2.0
// Which rule of a service port's HTTPRoutes takes a request. find_rule() is the definition: a walk in order
// of precedence. A RouteTable gives the same answer from an index: a hash of exact paths and a trie of
// prefixes leave only the rules whose path already fits. All tables of a Snapshot are built once, when it is
// published, and shared by the workers. The rule: whoever uses a rule across an await keeps the RouteTablePtr
// it came from.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "config/route.h"
#include "config/snapshot.h"
#include "l7/message.h"
#include "policy/verified_token.h"

namespace ambientd::l7 {

// The first rule that matches, or null. Paths are compared without query; `request.path` is normalised
// already. A prefix is element-wise. A field that comes in several lines is matched as one value, joined with
// a comma (RFC 9110 §5.3, and what Envoy does); of a repeated query parameter the first counts; both its key
// and value are percent-decoded (`+` stays `+`). Names `:authority` (or `host`), `:method`, `:path` and
// `:scheme` mean the members.
// `token`: what the JWT filter believed; claims are matched in it.
const config::RouteRule* find_rule(const config::HttpRoutes& routes, const Request& request,
                                   const policy::VerifiedToken* token = nullptr);

// The backend that takes this request, `random` being uniform; weight 0 takes none. Null: answer 500
// (Cause::no_cluster), because the rule has no weight at all or the chosen reference is invalid.
const config::Backend* pick_backend(const config::RouteRule& rule, uint64_t random);

class RouteTable {
 public:
  explicit RouteTable(config::HttpRoutes routes);
  RouteTable(const RouteTable&) = delete;
  RouteTable& operator=(const RouteTable&) = delete;

  // Exactly find_rule()'s answer. With `routed()` null means 404 (Cause::no_route).
  const config::RouteRule* find(const Request& request, const policy::VerifiedToken* token = nullptr) const;
  bool routed() const { return routes_.routed; }
  const config::HttpRoutes& routes() const { return routes_; }

 private:
  using Ranks = std::vector<uint32_t>;  // indices into rules, rising: lower is stronger
  struct Node {
    std::map<std::string, uint32_t, std::less<>> next;  // segment → node
    Ranks rules;
  };
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };

  void add_prefix(std::string_view prefix, uint32_t rank);
  std::vector<const Ranks*> candidates(std::string_view path) const;

  config::HttpRoutes routes_;
  std::unordered_map<std::string, Ranks, Hash, std::equal_to<>> exact_;
  std::vector<Node> prefixes_;  // a trie of segments; [0] is `/`
  Ranks others_;                // regexes, and what no index can find: looked at for every request
};
using RouteTablePtr = std::shared_ptr<const RouteTable>;

// The tables of every routed service port of one Snapshot. `before` lends the tables that did not change.
class RouteTables {
 public:
  explicit RouteTables(const config::Snapshot& snapshot, const RouteTables* before = nullptr);

  // By service "ns/hostname" and service port; null: no HTTPRoute, everything goes to the service itself.
  RouteTablePtr find(std::string_view service_key, uint16_t service_port) const;

 private:
  std::map<std::string, std::map<uint16_t, RouteTablePtr>, std::less<>> tables_;
};
using RouteTablesPtr = std::shared_ptr<const RouteTables>;

}  // namespace ambientd::l7
