// SPDX-License-Identifier: Apache-2.0
// A workload's identity: spiffe://<trust domain>/ns/<namespace>/sa/<service account>, and nothing else.
// Identities are compared byte for byte, with their length (contract/threats.md §5.2).
#pragma once

#include <compare>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace ambientd {

struct Identity {
  std::string trust_domain, ns, sa;

  auto operator<=>(const Identity&) const = default;
  bool operator==(const Identity&) const = default;

  std::string uri() const;        // spiffe://cluster.local/ns/default/sa/echo
  std::string principal() const;  // the same without `spiffe://`: what policies write

  // Exactly three non-empty parts in that form; no control byte, no percent, query or fragment. Else nothing.
  static std::optional<Identity> parse(std::string_view uri);
};

}  // namespace ambientd

template <>
struct std::hash<ambientd::Identity> {
  size_t operator()(const ambientd::Identity& id) const noexcept {
    std::hash<std::string> h;
    return (h(id.trust_domain) * 31 + h(id.ns)) * 31 + h(id.sa);
  }
};
