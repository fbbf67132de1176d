// SPDX-License-Identifier: Apache-2.0
// L7 authorization as a waypoint enforces it: the AuthorizationPolicy algebra over one request
// (contract/waypoint.md §2.5). Pure: the caller fills a Request, judge() says yes or no and who decided.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/ip.h"
#include "core/spiffe.h"
#include "policy/authorization.h"

namespace ambientd::policy {

// A string form of §2.5: `*` present and not empty, `abc*` prefix, `*abc` suffix, else exact.
StringMatch parse_string_match(std::string_view text);

struct StringList {  // (values empty or any matches) and no not_value matches
  std::vector<StringMatch> values, not_values;
  bool empty() const { return values.empty() && not_values.empty(); }
  bool operator==(const StringList&) const = default;
};

struct CidrList {
  std::vector<Cidr> values, not_values;
  bool empty() const { return values.empty() && not_values.empty(); }
  bool operator==(const CidrList&) const = default;
};

struct Source {
  StringList principals;          // `td/ns/x/sa/y`
  StringList request_principals;  // `iss/sub`, split at the last slash
  StringList namespaces;
  std::vector<ServiceAccountMatch> service_accounts, not_service_accounts;
  CidrList ip_blocks;         // the tunnel's peer: the client pod
  CidrList remote_ip_blocks;  // from X-Forwarded-For
  bool operator==(const Source&) const = default;
};

struct Operation {
  StringList hosts;  // case-insensitive, port kept
  StringList methods;
  // Normalised, no query. A template is kind exact with the braces in it: `{*}` is one segment, not empty;
  // `{**}` any number, and config/ takes it at most once and last (policy/path_template.h).
  StringList paths;
  std::vector<uint16_t> ports, not_ports;
  bool operator==(const Operation&) const = default;
};

struct Condition {
  enum class Key : uint8_t {
    source_ip,
    remote_ip,
    source_namespace,
    source_principal,
    source_service_account,
    request_principal,
    request_audiences,
    request_presenter,
    request_claim,
    request_header,
    destination_ip,
    destination_port,
    connection_sni,
  };
  Key key = Key::source_ip;
  // The header's name (lower case; `:method` and `:authority` too), or the claim's path a, b of [a][b].
  std::vector<std::string> path;
  StringList strings;  // for text keys
  CidrList cidrs;      // for IP keys
  std::vector<uint16_t> ports, not_ports;
  bool operator==(const Condition&) const = default;
};

struct L7Rule {
  std::vector<Source> from;     // OR; empty = any
  std::vector<Operation> to;    // OR; empty = any
  std::vector<Condition> when;  // AND
  bool operator==(const L7Rule&) const = default;
};

struct L7Authorization {
  enum class Action : uint8_t { allow, deny, audit, custom };
  std::string name, ns;
  Action action = Action::allow;
  std::vector<L7Rule> rules;  // OR; none: ALLOW matches nothing, DENY matches nothing
  bool dry_run = false;
  bool operator==(const L7Authorization&) const = default;
};

// One claim of a verified token: the path a, b of {"a": {"b": ...}} and its text; a list is one Claim per
// item.
struct Claim {
  std::vector<std::string> path;
  std::string value;
  bool operator==(const Claim&) const = default;
};

// What a rule may look at. Views live as long as the request; header values are judged one by one, never
// joined (CVE-2026-26308). On a TCP connection `http` is false and only L4 fields are meaningful.
struct Request {
  std::optional<Identity> identity;
  Ip source;                 // tunnel peer
  std::optional<Ip> remote;  // from X-Forwarded-For, else source
  SockAddr destination;      // the service's address and port
  bool http = true;
  std::string_view method, path, host;                           // path without query, after normalisation
  std::span<const std::pair<std::string, std::string>> headers;  // lower-case names
  std::string_view issuer, subject;                              // of a verified token, else empty
  std::span<const Claim> claims;                                 // of that token
  std::string_view sni;                                          // of the client's own TLS, else empty
};

struct L7Verdict {
  bool allow = false;
  std::string policy;   // "ns/name" that denied, or that allowed; empty: none applied, or no ALLOW matched
  std::string details;  // `rbac_access_denied_matched_policy[ns[x]-policy[y]-rule[0]]` on denial, else empty
};

// CUSTOM denies what it matches (no provider is supported); AUDIT never decides; DENY any → deny; ALLOW as
// §2.5. On TCP, L7-only fields drop an ALLOW rule and widen any other, as §2.5 says. Dry-run policies never
// decide; their outcomes are appended to *dry_runs where it is given, as policy/authorization.h says.
L7Verdict judge(std::span<const std::shared_ptr<const L7Authorization>> policies, const Request& request,
                std::vector<DryRun>* dry_runs = nullptr);

}  // namespace ambientd::policy
