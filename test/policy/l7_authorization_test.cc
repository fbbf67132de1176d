// SPDX-License-Identifier: Apache-2.0
#include "policy/l7_authorization.h"

#include "test/support/catch.h"

using namespace ambientd;
using namespace ambientd::policy;

namespace {

using Action = L7Authorization::Action;
using Key = Condition::Key;
using Headers = std::vector<std::pair<std::string, std::string>>;
using PolicyPtr = std::shared_ptr<const L7Authorization>;

const Headers kHeaders = {{"x-team", "red"}, {"x-team", "blue"}, {"x-empty", ""}};
const std::vector<Claim> kClaims = {{{"aud"}, "shop"},
                                    {{"aud"}, "bank"},
                                    {{"azp"}, "app"},
                                    {{"realm", "roles"}, "admin"},
                                    {{"realm", "roles"}, "dev"}};

Request get_request() {
  Request request;
  request.identity = Identity{"cluster.local", "default", "curl"};
  request.source = Ip::v4(10, 0, 0, 1);
  request.remote = Ip::v4(192, 0, 2, 1);
  request.destination = {Ip::v4(10, 96, 0, 7), 80};
  request.method = "GET";
  request.path = "/info/a";
  request.host = "Reviews.default:80";
  request.headers = kHeaders;
  request.issuer = "https://issuer";
  request.subject = "alice";
  request.claims = kClaims;
  request.sni = "outer.example";
  return request;
}

Request anonymous_request() {
  Request request = get_request();
  request.identity.reset();
  request.remote.reset();
  request.headers = {};
  request.issuer = request.subject = {};
  request.claims = {};
  return request;
}

Request tcp_connection() {
  Request request = anonymous_request();
  request.identity = Identity{"cluster.local", "default", "curl"};
  request.http = false;
  request.method = request.path = request.host = {};
  return request;
}

std::vector<StringMatch> texts(std::initializer_list<const char*> list) {
  std::vector<StringMatch> out;
  for (const char* text : list) out.push_back(parse_string_match(text));
  return out;
}
StringList any(std::initializer_list<const char*> list) { return {texts(list), {}}; }
StringList none(std::initializer_list<const char*> list) { return {{}, texts(list)}; }
CidrList in(const char* text) { return {{*Cidr::parse(text)}, {}}; }
CidrList outside(const char* text) { return {{}, {*Cidr::parse(text)}}; }

L7Rule from(Source source) { return {.from = {std::move(source)}, .to = {}, .when = {}}; }
L7Rule to(Operation operation) { return {.from = {}, .to = {std::move(operation)}, .when = {}}; }
L7Rule when(Condition condition) { return {.from = {}, .to = {}, .when = {std::move(condition)}}; }
L7Rule when_text(Key key, StringList strings, std::vector<std::string> path = {}) {
  return when({.key = key,
               .path = std::move(path),
               .strings = std::move(strings),
               .cidrs = {},
               .ports = {},
               .not_ports = {}});
}
L7Rule when_ip(Key key, CidrList cidrs) {
  return when(
      {.key = key, .path = {}, .strings = {}, .cidrs = std::move(cidrs), .ports = {}, .not_ports = {}});
}

PolicyPtr make_policy(Action action, std::vector<L7Rule> rules, std::string name = "p",
                      bool dry_run = false) {
  return std::make_shared<const L7Authorization>(
      L7Authorization{std::move(name), "shop", action, std::move(rules), dry_run});
}

L7Verdict judge_one(PolicyPtr one, const Request& request) {
  return judge(std::array{std::move(one)}, request);
}

bool allows(const L7Rule& rule, const Request& request) {
  return judge_one(make_policy(Action::allow, {rule}), request).allow;
}

struct Case {
  const char* what;
  L7Rule rule;
  bool want, anonymous;  // for get_request() and anonymous_request()
};

void check(std::span<const Case> cases) {
  for (const Case& c : cases) {
    INFO(c.what);
    CHECK(allows(c.rule, get_request()) == c.want);
    CHECK(allows(c.rule, anonymous_request()) == c.anonymous);
  }
}

}  // namespace

TEST_CASE("the four forms of a string match are told apart by their stars") {
  using Kind = StringMatch::Kind;
  CHECK(parse_string_match("*") == StringMatch{Kind::presence, ""});
  CHECK(parse_string_match("abc*") == StringMatch{Kind::prefix, "abc"});
  CHECK(parse_string_match("*abc") == StringMatch{Kind::suffix, "abc"});
  CHECK(parse_string_match("a*c") == StringMatch{Kind::exact, "a*c"});
  CHECK(parse_string_match("") == StringMatch{Kind::exact, ""});
  CHECK(parse_string_match("/a/{*}") == StringMatch{Kind::exact, "/a/{*}"});
}

TEST_CASE("every field of a source accepts and refuses") {
  const Case cases[] = {
      {"principal", from({.principals = any({"cluster.local/ns/default/sa/curl"})}), true, false},
      {"other principal", from({.principals = any({"cluster.local/ns/default/sa/x"})}), false, false},
      {"any principal", from({.principals = any({"*"})}), true, false},
      {"not principal", from({.principals = none({"cluster.local/ns/default/sa/curl"})}), false, true},
      {"nobody", from({.principals = none({"*"})}), false, true},
      {"request principal", from({.request_principals = any({"https://issuer/alice"})}), true, false},
      {"any subject of an issuer", from({.request_principals = any({"https://issuer/*"})}), true, false},
      {"any token", from({.request_principals = any({"*"})}), true, false},
      {"no token", from({.request_principals = none({"*"})}), false, true},
      {"namespace", from({.namespaces = any({"default"})}), true, false},
      {"namespace by prefix", from({.namespaces = any({"def*"})}), true, false},
      {"not namespace", from({.namespaces = none({"default"})}), false, true},
      {"service account", from({.service_accounts = {{"default", "curl"}}}), true, false},
      {"service account is no regex", from({.service_accounts = {{"default", "c.rl"}}}), false, false},
      {"service account is no pattern", from({.service_accounts = {{"default", "*"}}}), false, false},
      {"not service account", from({.not_service_accounts = {{"default", "curl"}}}), false, true},
      {"address", from({.ip_blocks = in("10.0.0.0/8")}), true, true},
      {"other address", from({.ip_blocks = in("192.0.2.0/24")}), false, false},
      {"not address", from({.ip_blocks = outside("10.0.0.0/8")}), false, false},
      {"remote address", from({.remote_ip_blocks = in("192.0.2.0/24")}), true, false},
      {"remote address is the peer without XFF", from({.remote_ip_blocks = in("10.0.0.0/8")}), false, true},
      {"not remote address", from({.remote_ip_blocks = outside("192.0.2.0/24")}), false, true},
      {"all fields", from({.namespaces = any({"default"}), .ip_blocks = in("10.0.0.0/8")}), true, false},
      {"not all fields", from({.namespaces = any({"default"}), .ip_blocks = in("10.1.0.0/16")}), false,
       false},
      {"any source",
       {.from = {{.namespaces = any({"x"})}, {.namespaces = any({"default"})}}, .to = {}, .when = {}},
       true,
       false},
  };
  check(cases);
}

TEST_CASE("every field of an operation accepts and refuses") {
  const Case cases[] = {
      {"host in any case", to({.hosts = any({"reviews.DEFAULT:80"})}), true, true},
      {"the port is part of a host", to({.hosts = any({"reviews.default"})}), false, false},
      {"host by suffix", to({.hosts = any({"*.Default:80"})}), true, true},
      {"not host in any case", to({.hosts = none({"REVIEWS.default:80"})}), false, false},
      {"method", to({.methods = any({"POST", "GET"})}), true, true},
      {"methods mind case", to({.methods = any({"get"})}), false, false},
      {"not method", to({.methods = none({"GET"})}), false, false},
      {"path", to({.paths = any({"/info/a"})}), true, true},
      {"path by prefix", to({.paths = any({"/info*"})}), true, true},
      {"paths mind case", to({.paths = any({"/INFO/a"})}), false, false},
      {"path by template", to({.paths = any({"/{*}/a"})}), true, true},
      {"path by another template", to({.paths = any({"/info/{*}/b"})}), false, false},
      {"not path by template", to({.paths = none({"/{**}"})}), false, false},
      {"port", to({.ports = {80}}), true, true},
      {"other port", to({.ports = {8080}}), false, false},
      {"not port", to({.not_ports = {80}}), false, false},
      {"all fields", to({.methods = any({"GET"}), .paths = any({"/x"})}), false, false},
      {"any operation",
       {.from = {}, .to = {{.ports = {1}}, {.methods = any({"GET"})}}, .when = {}},
       true,
       true},
  };
  check(cases);
}

TEST_CASE("every key of a condition accepts and refuses") {
  const Case cases[] = {
      {"source.ip", when_ip(Key::source_ip, in("10.0.0.1")), true, true},
      {"source.ip not", when_ip(Key::source_ip, outside("10.0.0.1")), false, false},
      {"remote.ip", when_ip(Key::remote_ip, in("192.0.2.1")), true, false},
      {"source.namespace", when_text(Key::source_namespace, any({"default"})), true, false},
      {"source.principal", when_text(Key::source_principal, any({"*/sa/curl"})), true, false},
      {"source.principal not", when_text(Key::source_principal, none({"*"})), false, true},
      {"source.serviceAccount", when_text(Key::source_service_account, any({"default/curl"})), true, false},
      {"request.auth.principal", when_text(Key::request_principal, any({"*/alice"})), true, false},
      {"request.auth.audiences", when_text(Key::request_audiences, any({"bank"})), true, false},
      {"request.auth.audiences not", when_text(Key::request_audiences, none({"bank"})), false, true},
      {"request.auth.presenter", when_text(Key::request_presenter, any({"app"})), true, false},
      {"request.auth.claims", when_text(Key::request_claim, any({"dev"}), {"realm", "roles"}), true, false},
      {"request.auth.claims elsewhere", when_text(Key::request_claim, any({"dev"}), {"roles"}), false, false},
      {"request.auth.claims not", when_text(Key::request_claim, none({"dev"}), {"realm", "roles"}), false,
       true},
      {"request.headers, first value", when_text(Key::request_header, any({"red"}), {"x-team"}), true, false},
      {"request.headers, second value", when_text(Key::request_header, any({"blue"}), {"x-team"}), true,
       false},
      {"request.headers are never joined", when_text(Key::request_header, any({"red,blue"}), {"x-team"}),
       false, false},
      {"request.headers not, second value", when_text(Key::request_header, none({"blue"}), {"x-team"}), false,
       true},
      {"request.headers present", when_text(Key::request_header, any({"*"}), {"x-team"}), true, false},
      {"an empty header is not present", when_text(Key::request_header, any({"*"}), {"x-empty"}), false,
       false},
      {"request.headers[:method]", when_text(Key::request_header, any({"GET"}), {":method"}), true, true},
      {"destination.ip", when_ip(Key::destination_ip, in("10.96.0.0/16")), true, true},
      {"destination.ip not", when_ip(Key::destination_ip, outside("10.96.0.0/16")), false, false},
      {"destination.port",
       when({.key = Key::destination_port,
             .path = {},
             .strings = {},
             .cidrs = {},
             .ports = {80},
             .not_ports = {}}),
       true, true},
      {"destination.port not",
       when({.key = Key::destination_port,
             .path = {},
             .strings = {},
             .cidrs = {},
             .ports = {},
             .not_ports = {80}}),
       false, false},
      {"connection.sni", when_text(Key::connection_sni, any({"*.example"})), true, true},
      {"connection.sni not", when_text(Key::connection_sni, none({"outer.example"})), false, false},
  };
  check(cases);
  L7Rule both = when_text(Key::source_namespace, any({"default"}));
  both.when.push_back(when_text(Key::request_header, any({"green"}), {"x-team"}).when.front());
  CHECK_FALSE(allows(both, get_request()));
}

TEST_CASE("an issuer with a star asks for a subject") {
  Request request = get_request();
  request.subject = {};
  CHECK_FALSE(allows(from({.request_principals = any({"https://issuer/*"})}), request));
  CHECK_FALSE(allows(from({.request_principals = any({"*"})}), request));
}

TEST_CASE("a request principal is split at its last slash, and its halves are compared by themselves") {
  struct Principal {
    const char *pattern, *issuer, *subject;
    bool want;
  };
  const Principal cases[] = {
      {"https://issuer/alice", "https://issuer", "alice", true},
      {"https://issuer/alice", "https:/", "issuer/alice", false},
      {"https://issuer/*", "https://issuer/evil", "x", false},
      {"https://issuer/*", "https://issuer", "evil/x", true},
      {"https://issuer/al*", "https://issuer", "alice", true},
      {"https://issuer/al*", "https://issuer", "bob", false},
      {"*/alice", "https://issuer", "x/alice", false},
      {"*/alice", "anyone", "alice", true},
      {"*issuer/alice", "https://issuer", "alice", true},
      {"*other/alice", "https://issuer", "alice", false},
      {"*ice", "anyone", "alice", true},
      {"test*", "testing@secure.istio.io", "alice", true},
      {"test*", "other", "test", false},
      {"alice", "https://issuer", "alice", false},
  };
  for (const Principal& c : cases) {
    INFO(c.pattern << " " << c.issuer << " " << c.subject);
    Request request = get_request();
    request.issuer = c.issuer;
    request.subject = c.subject;
    CHECK(allows(from({.request_principals = any({c.pattern})}), request) == c.want);
    CHECK(allows(from({.request_principals = none({c.pattern})}), request) != c.want);
  }
}

TEST_CASE("a verdict names the policy and the rule") {
  const PolicyPtr allow = make_policy(Action::allow, {L7Rule{}}, "yes"),
                  nobody = make_policy(Action::allow, {}, "nobody"),
                  deny = make_policy(Action::deny,
                                     {to({.methods = any({"PUT"})}), to({.methods = any({"GET"})})}, "no"),
                  never = make_policy(Action::deny, {}, "never"),
                  audit = make_policy(Action::audit, {L7Rule{}}, "look"),
                  custom = make_policy(Action::custom, {L7Rule{}}, "ext");
  struct Order {
    const char* what;
    std::vector<PolicyPtr> policies;
    bool allow;
    const char *policy, *details;
  };
  const Order orders[] = {
      {"none", {}, true, "", ""},
      {"allow", {allow}, true, "shop/yes", ""},
      {"allow without rules", {nobody}, false, "", "rbac_access_denied_matched_policy[none]"},
      {"any allow", {nobody, allow}, true, "shop/yes", ""},
      {"deny without rules", {never}, true, "", ""},
      {"deny wins",
       {allow, deny},
       false,
       "shop/no",
       "rbac_access_denied_matched_policy[ns[shop]-policy[no]-rule[1]]"},
      {"audit never decides", {audit}, true, "", ""},
      {"audit is no allow", {audit, nobody}, false, "", "rbac_access_denied_matched_policy[none]"},
      {"custom denies, first",
       {allow, deny, custom},
       false,
       "shop/ext",
       "rbac_access_denied_matched_policy[ns[shop]-policy[ext]-rule[0]]"},
  };
  for (const Order& o : orders) {
    INFO(o.what);
    L7Verdict verdict = judge(o.policies, get_request());
    CHECK(verdict.allow == o.allow);
    CHECK(verdict.policy == o.policy);
    CHECK(verdict.details == o.details);
  }
}

TEST_CASE("on TCP an L7 field drops an allow rule and is passed over in a deny rule") {
  struct Tcp {
    const char* what;
    L7Rule rule;
    bool allow_matches, deny_matches;
  };
  const Tcp cases[] = {
      {"methods", to({.methods = any({"TRACE"})}), false, true},
      {"not methods", to({.methods = none({"TRACE"})}), false, true},
      {"hosts", to({.hosts = any({"x"})}), false, true},
      {"paths", to({.paths = any({"/x"})}), false, true},
      {"request principals", from({.request_principals = any({"*"})}), false, true},
      {"headers", when_text(Key::request_header, any({"x"}), {"x"}), false, true},
      {"claims", when_text(Key::request_claim, any({"x"}), {"x"}), false, true},
      {"methods and the port", to({.methods = any({"TRACE"}), .ports = {80}}), false, true},
      {"methods and another port", to({.methods = any({"TRACE"}), .ports = {81}}), false, false},
      {"the port", to({.ports = {80}}), true, true},
      {"the principal", from({.principals = any({"*/sa/curl"})}), true, true},
      {"another namespace", from({.namespaces = any({"x"})}), false, false},
      {"the SNI", when_text(Key::connection_sni, any({"outer.example"})), true, true},
      {"the source", when_ip(Key::source_ip, in("10.0.0.1")), true, true},
  };
  for (const Tcp& c : cases) {
    INFO(c.what);
    CHECK(judge_one(make_policy(Action::allow, {c.rule}), tcp_connection()).allow == c.allow_matches);
    CHECK(judge_one(make_policy(Action::deny, {c.rule}), tcp_connection()).allow == !c.deny_matches);
    CHECK(judge_one(make_policy(Action::custom, {c.rule}), tcp_connection()).allow == !c.deny_matches);
  }
}

TEST_CASE("a dry-run policy is reported and never decides") {
  std::vector<DryRun> seen;
  std::vector<PolicyPtr> policies = {make_policy(Action::deny, {L7Rule{}}, "dry", true),
                                     make_policy(Action::allow, {}, "dry-allow", true)};
  CHECK(judge(policies, get_request(), &seen).allow);
  REQUIRE(seen.size() == 2);
  CHECK((seen[0].policy == "shop/dry" && seen[0].deny));
  CHECK((seen[1].policy.empty() && seen[1].deny));
}
