// SPDX-License-Identifier: Apache-2.0
#include "policy/authorization.h"

#include "test/support/catch.h"

using namespace ambientd;
using namespace ambientd::policy;

namespace {

using Kind = StringMatch::Kind;
using Action = Authorization::Action;
using PolicyPtr = std::shared_ptr<const Authorization>;

const StringMatch kPresence{Kind::presence, ""};

Peer echo_peer() {
  return {Identity{"cluster.local", "default", "echo"}, Ip::v4(10, 0, 0, 1), {Ip::v4(10, 0, 0, 2), 8080}};
}

Peer plain_peer() {
  Peer peer = echo_peer();
  peer.identity.reset();
  return peer;
}

Cidr cidr(const char* text) { return *Cidr::parse(text); }

PolicyPtr make_policy(Action action, std::vector<Rule> rules, std::string name = "p", bool dry_run = false) {
  Authorization made;
  made.name = std::move(name);
  made.ns = "ns";
  made.action = action;
  made.rules = std::move(rules);
  made.dry_run = dry_run;
  return std::make_shared<const Authorization>(std::move(made));
}

PolicyPtr of_match(Match match) { return make_policy(Action::allow, {{{std::move(match)}}}); }

Match on_port(uint16_t port) {
  Match match;
  match.destination_ports = {port};
  return match;
}

const Match kEcho = on_port(8080), kOther = on_port(9);
const std::vector<Rule> kEverything = {Rule{}};

}  // namespace

TEST_CASE("string matches are exact, prefix, suffix or presence, and mind case") {
  struct Case {
    StringMatch match;
    const char* text;
    bool want;
  };
  const Case cases[] = {
      {{Kind::exact, "abc"}, "abc", true},   {{Kind::exact, "abc"}, "ABC", false},
      {{Kind::exact, "abc"}, "abcd", false}, {{Kind::exact, ""}, "", true},
      {{Kind::prefix, "ab"}, "abc", true},   {{Kind::prefix, "ab"}, "cab", false},
      {{Kind::prefix, "ab"}, "Abc", false},  {{Kind::suffix, "bc"}, "abc", true},
      {{Kind::suffix, "bc"}, "bcd", false},  {{Kind::suffix, "bc"}, "aBC", false},
      {{Kind::presence, ""}, "x", true},     {{Kind::presence, ""}, "", false},
      {{Kind::exact, "a.c"}, "abc", false},  {{Kind::prefix, "a*"}, "abc", false},
  };
  for (const Case& c : cases) {
    INFO(c.match.value << " on " << c.text);
    CHECK(c.match.matches(c.text) == c.want);
  }
}

TEST_CASE("every attribute accepts by its positives and refuses by its negatives") {
  struct Case {
    const char* what;
    Match match;
    bool with_identity, without;
  };
  const Case cases[] = {
      {"namespace", {.namespaces = {{Kind::exact, "default"}}}, true, false},
      {"other namespace", {.namespaces = {{Kind::exact, "prod"}}}, false, false},
      {"one of two namespaces", {.namespaces = {{Kind::exact, "prod"}, {Kind::prefix, "def"}}}, true, false},
      {"empty namespace is nobody's", {.namespaces = {{Kind::exact, ""}}}, false, true},
      {"not namespace", {.not_namespaces = {{Kind::exact, "default"}}}, false, true},
      {"not other namespace", {.not_namespaces = {{Kind::exact, "prod"}}}, true, true},
      {"service account", {.service_accounts = {{"default", "echo"}}}, true, false},
      {"service account elsewhere", {.service_accounts = {{"prod", "echo"}}}, false, false},
      {"service account with a dot for a letter", {.service_accounts = {{"default", "ech."}}}, false, false},
      {"not service account", {.not_service_accounts = {{"default", "echo"}}}, false, true},
      {"not other service account", {.not_service_accounts = {{"default", "x"}}}, true, true},
      {"principal", {.principals = {{Kind::exact, "cluster.local/ns/default/sa/echo"}}}, true, false},
      {"principal written as URI",
       {.principals = {{Kind::exact, "spiffe://cluster.local/ns/default/sa/echo"}}},
       false,
       false},
      {"principal of another domain",
       {.principals = {{Kind::exact, "evil.local/ns/default/sa/echo"}}},
       false,
       false},
      {"principal by suffix", {.principals = {{Kind::suffix, "/sa/echo"}}}, true, false},
      {"any principal", {.principals = {kPresence}}, true, false},
      {"any prefix of a principal", {.principals = {{Kind::prefix, ""}}}, true, false},
      {"no principal (STRICT)", {.not_principals = {kPresence}}, false, true},
      {"not this principal",
       {.not_principals = {{Kind::exact, "cluster.local/ns/default/sa/echo"}}},
       false,
       true},
      {"not that principal",
       {.not_principals = {{Kind::exact, "cluster.local/ns/default/sa/x"}}},
       true,
       true},
      {"source", {.source_ips = {cidr("10.0.0.0/24")}}, true, true},
      {"other source", {.source_ips = {cidr("10.0.1.0/24")}}, false, false},
      {"source of the other family", {.source_ips = {cidr("::/0")}}, false, false},
      {"not source", {.not_source_ips = {cidr("10.0.0.1")}}, false, false},
      {"not other source", {.not_source_ips = {cidr("10.0.0.9")}}, true, true},
      {"destination", {.destination_ips = {cidr("10.0.0.2/32")}}, true, true},
      {"other destination", {.destination_ips = {cidr("10.0.0.3/32")}}, false, false},
      {"not destination", {.not_destination_ips = {cidr("10.0.0.2/32")}}, false, false},
      {"not other destination", {.not_destination_ips = {cidr("10.0.0.3/32")}}, true, true},
      {"port", {.destination_ports = {80, 8080}}, true, true},
      {"other port", {.destination_ports = {80}}, false, false},
      {"not port", {.not_destination_ports = {80, 8080}}, false, false},
      {"not other port", {.not_destination_ports = {80}}, true, true},
      {"all of two", {.namespaces = {{Kind::exact, "default"}}, .destination_ports = {8080}}, true, false},
      {"one of two is not all",
       {.namespaces = {{Kind::exact, "default"}}, .destination_ports = {80}},
       false,
       false},
      {"wanted and unwanted",
       {.namespaces = {kPresence}, .not_namespaces = {{Kind::exact, "default"}}},
       false,
       false},
      {"nothing at all", {}, false, false},
  };
  for (const Case& c : cases) {
    INFO(c.what);
    CHECK(matches(*of_match(c.match), echo_peer()) == c.with_identity);
    CHECK(matches(*of_match(c.match), plain_peer()) == c.without);
  }
}

TEST_CASE("rules are any, clauses all, matches any; empty ones match except no rule and an empty match") {
  struct Case {
    const char* what;
    std::vector<Rule> rules;
    bool want;
  };
  const Case cases[] = {
      {"no rules", {}, false},
      {"a rule without clauses", {Rule{}}, true},
      {"a clause without matches", {{Clause{}}}, true},
      {"a match without attributes", {{{Match{}}}}, false},
      {"an empty match beside a good one", {{{Match{}, kEcho}}}, true},
      {"any match", {{{kOther, kEcho}}}, true},
      {"no match", {{{kOther, kOther}}}, false},
      {"every clause", {{{kEcho}, {kEcho}}}, true},
      {"not every clause", {{{kEcho}, {kOther}}}, false},
      {"an empty clause beside a failing one", {{Clause{}, {kOther}}}, false},
      {"any rule", {{{kOther}}, {{kEcho}}}, true},
      {"no rule that holds", {{{kOther}}, {{kOther}}}, false},
  };
  for (const Case& c : cases) {
    INFO(c.what);
    CHECK(matches(*make_policy(Action::allow, c.rules), echo_peer()) == c.want);
  }
}

TEST_CASE("a judgement asks deny policies first, then unknown ones, then allow policies") {
  const PolicyPtr deny = make_policy(Action::deny, kEverything, "no"),
                  deny_other = make_policy(Action::deny, {{{kOther}}}, "not-this"),
                  allow = make_policy(Action::allow, kEverything, "yes"),
                  allow_other = make_policy(Action::allow, {{{kOther}}}, "other"),
                  allow_none = make_policy(Action::allow, {}, "nobody"),
                  deny_none = make_policy(Action::deny, {}, "never");
  struct Case {
    const char* what;
    std::vector<PolicyPtr> policies;
    std::vector<std::string> unknown;
    bool allow;
    const char *policy, *reason;
  };
  const Case cases[] = {
      {"none", {}, {}, true, "", ""},
      {"allow", {allow}, {}, true, "ns/yes", ""},
      {"deny wins, wherever it stands", {allow, deny}, {}, false, "ns/no", "explicitly denied by: ns/no"},
      {"deny that does not match", {deny_other}, {}, true, "", ""},
      {"allow that does not match", {allow_other}, {}, false, "", "allow policies exist, but none allowed"},
      {"the second allow", {allow_other, allow}, {}, true, "ns/yes", ""},
      {"allow without rules denies all",
       {allow_none},
       {},
       false,
       "",
       "allow policies exist, but none allowed"},
      {"deny without rules denies none", {deny_none}, {}, true, "", ""},
      {"an unknown policy denies", {}, {"ns/lost"}, false, "ns/lost", nullptr},
      {"an unknown policy denies what another allows", {allow}, {"ns/lost"}, false, "ns/lost", nullptr},
      {"a known deny is named before an unknown",
       {deny},
       {"ns/lost"},
       false,
       "ns/no",
       "explicitly denied by: ns/no"},
  };
  for (const Case& c : cases) {
    INFO(c.what);
    Verdict verdict = judge(c.policies, c.unknown, echo_peer());
    CHECK(verdict.allow == c.allow);
    CHECK(verdict.policy == c.policy);
    if (c.reason)
      CHECK(verdict.reason == c.reason);
    else
      CHECK(verdict.reason.starts_with("explicitly denied by: ns/lost"));
  }
}

TEST_CASE("dry-run policies are reported and never decide") {
  std::vector<PolicyPtr> policies = {make_policy(Action::deny, kEverything, "dry-deny", true),
                                     make_policy(Action::allow, {{{kOther}}}, "dry-allow", true)};
  std::vector<DryRun> seen;
  Verdict verdict = judge(policies, {}, echo_peer(), &seen);
  CHECK(verdict.allow);
  CHECK(verdict.policy.empty());
  REQUIRE(seen.size() == 2);
  CHECK((seen[0].policy == "ns/dry-deny" && seen[0].deny));
  CHECK((seen[1].policy.empty() && seen[1].deny));

  seen.clear();
  policies = {make_policy(Action::allow, kEverything, "dry-allow", true),
              make_policy(Action::deny, kEverything, "no")};
  CHECK_FALSE(judge(policies, {}, echo_peer(), &seen).allow);
  REQUIRE(seen.size() == 1);
  CHECK((seen[0].policy == "ns/dry-allow" && !seen[0].deny));
}
