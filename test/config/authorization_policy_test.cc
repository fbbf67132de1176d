// SPDX-License-Identifier: Apache-2.0
#include "test/config/given.h"

namespace ambientd::config {
namespace {

std::string policy_text(std::string_view spec, std::string_view meta = "name: p, namespace: demo") {
  return fmt::format(
      "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{{}}}\nspec: {{{}}}\n",
      meta, spec);
}

policy::Authorization only_policy(std::string_view text) {
  Mesh mesh = mesh_of(text);
  REQUIRE(mesh.policies.size() == 1);
  return mesh.policies[0];
}

}  // namespace

TEST_CASE("where a policy stands decides what it is for") {
  using Scope = policy::Authorization::Scope;
  const std::string selector = "selector: {matchLabels: {app: a}}";
  CHECK(only_policy(policy_text("")).scope == Scope::ns);
  CHECK(only_policy(policy_text("selector: {}")).scope == Scope::ns);
  CHECK(only_policy(policy_text(selector)).scope == Scope::workload_selector);
  CHECK(only_policy(policy_text("", "name: p, namespace: istio-system")).scope == Scope::global);
  CHECK(only_policy(policy_text(selector, "name: p, namespace: istio-system")).scope ==
        Scope::workload_selector);
  std::string root =
      "---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: istio}, data: {mesh: 'rootNamespace: "
      "demo'}}\n";
  CHECK(only_policy(root + policy_text("")).scope == Scope::global);
}

TEST_CASE("a string is exact, a prefix, a suffix or anything at all") {
  struct Case {
    const char* text;
    policy::StringMatch wanted;
  };
  const Case cases[] = {{"abc", {policy::StringMatch::Kind::exact, "abc"}},
                        {"abc*", {policy::StringMatch::Kind::prefix, "abc"}},
                        {"*abc", {policy::StringMatch::Kind::suffix, "abc"}},
                        {"*", {policy::StringMatch::Kind::presence, ""}}};
  for (const Case& c : cases) {
    policy::Authorization made = only_policy(
        policy_text(fmt::format("rules: [{{from: [{{source: {{principals: ['{}']}}}}]}}]", c.text)));
    CHECK(made.rules.at(0).at(0).at(0).principals.at(0) == c.wanted);
  }
}

TEST_CASE("clauses stand as to, from, then each when") {
  policy::Authorization made = only_policy(policy_text(
      "action: DENY, rules: [{when: [{key: source.namespace, values: [x]}, {key: destination.ip, notValues: "
      "[10.0.0.0/8]}], from: [{source: {ipBlocks: [1.2.3.4], serviceAccounts: [sa, y/sb]}}], to: "
      "[{operation: {ports: "
      "['80']}}]}]"));
  REQUIRE(made.rules.at(0).size() == 4);
  const policy::Rule& rule = made.rules[0];
  CHECK(rule[0][0].destination_ports == std::vector<uint16_t>{80});
  CHECK(rule[1][0].source_ips.at(0).str() == "1.2.3.4/32");
  CHECK(rule[1][0].service_accounts == std::vector<policy::ServiceAccountMatch>{{"demo", "sa"}, {"y", "sb"}});
  CHECK(rule[2][0].namespaces.size() == 1);
  CHECK(rule[3][0].not_destination_ips.size() == 1);
}

TEST_CASE("no rules and an empty rule are kept apart") {
  CHECK(only_policy(policy_text("action: ALLOW")).rules.empty());
  CHECK(only_policy(policy_text("rules: [{}]")).rules == std::vector<policy::Rule>{{}});
}

TEST_CASE("without a waypoint L7 conditions only ever make a policy stricter") {
  const std::string get = "{operation: {methods: [GET], ports: ['80']}}";
  CHECK(only_policy(policy_text("rules: [{to: [" + get + "]}, {to: [{operation: {ports: ['81']}}]}]"))
            .rules.size() == 1);
  CHECK(only_policy(policy_text("rules: [{to: [" + get + "]}]")).rules.empty());
  policy::Authorization deny = only_policy(policy_text("action: DENY, rules: [{to: [" + get + "]}]"));
  CHECK(deny.rules.at(0).at(0).at(0).destination_ports == std::vector<uint16_t>{80});
  policy::Authorization when =
      only_policy(policy_text("action: DENY, rules: [{from: [{source: {namespaces: [x]}}], when: [{key: "
                              "'request.headers[a]', values: [b]}]}]"));
  CHECK(when.rules.at(0).size() == 1);
}

TEST_CASE("a DENY of which nothing would be left is refused") {
  for (const char* rule : {"{to: [{operation: {methods: [GET]}}]}",
                           "{to: [{operation: {ports: ['80']}}, {operation: {paths: [/x]}}]}",
                           "{when: [{key: 'request.headers[a]', values: [b]}]}",
                           "{from: [{source: {requestPrincipals: ['*']}}]}"}) {
    INFO(rule);
    CHECK(errors_of(policy_text(fmt::format("action: DENY, rules: [{}]", rule))) ==
          "x.yaml:2: AuthorizationPolicy demo/p: spec.rules[0] denies by L7 conditions alone, which nothing "
          "but a "
          "waypoint can judge: attach the policy with targetRefs");
  }
}

TEST_CASE(
    "a selecting policy is listed on the workloads it selects, of its namespace or of all for the root's") {
  auto selecting = [](std::string_view name, std::string_view ns) {
    return policy_text("selector: {matchLabels: {app: a}}", fmt::format("name: {}, namespace: {}", name, ns));
  };
  SnapshotPtr snapshot =
      snapshot_of(pod("demo", "a", "10.0.0.1", "app: a") + pod("demo", "b", "10.0.0.2", "app: b") +
                  pod("demo", "bare", "10.0.0.3", "") + selecting("z", "demo") +
                  selecting("r", "istio-system") + selecting("x", "other"));
  auto listed = [&](std::string_view name) {
    return snapshot->workload_by_uid(fmt::format("Kubernetes//Pod/demo/{}", name))->authorization_policies;
  };
  CHECK(listed("a") == std::vector<std::string>{"demo/z", "istio-system/r"});
  CHECK(listed("b").empty());
  CHECK(listed("bare").empty());
}

TEST_CASE("a policy with targetRefs goes to the waypoint and not to ztunnel") {
  const std::string base =
      waypoint("demo", "waypoint") + service("demo", "a", "10.1.0.1", "istio.io/use-waypoint: waypoint");
  auto names = [&](const std::string& text) {
    std::string out;
    SnapshotPtr snapshot = snapshot_of(base + text);
    CHECK(snapshot->policies().empty());
    for (const L7PolicyPtr& policy : snapshot->l7_policies("demo/a.demo.svc.cluster.local", "demo/waypoint"))
      out += policy->name;
    return out;
  };
  CHECK(names(policy_text("targetRefs: [{group: '', kind: Service, name: a}]")) == "p");
  CHECK(names(policy_text("targetRef: {kind: Service, name: a}")) == "p");
  CHECK(names(policy_text(
            "targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: waypoint}]")) == "p");
  CHECK(names(policy_text(
            "targetRefs: [{group: gateway.networking.k8s.io, kind: GatewayClass, name: istio-waypoint}]",
            "name: p, namespace: istio-system")) == "p");
  CHECK(names(policy_text("targetRefs: [{group: '', kind: Service, name: b}]")).empty());
}

TEST_CASE("everything an L7 rule may say is understood") {
  Mesh mesh = mesh_of(
      service("demo", "a", "10.1.0.1") +
      policy_text(
          "targetRefs: [{kind: Service, name: a}], action: DENY, rules: [{"
          "from: [{source: {requestPrincipals: ['iss/*'], notRemoteIpBlocks: [10.0.0.0/8]}}],"
          "to: [{operation: {hosts: [a.com], notMethods: [GET], paths: ['/a/{*}/b'], notPorts: ['1']}}],"
          "when: [{key: 'request.auth.claims[a][b]', values: [x]}, {key: 'request.headers[X-A]', notValues: "
          "[y]},"
          "{key: remote.ip, values: [1.1.1.1]}, {key: connection.sni, values: ['*.com']}]}]"));
  const policy::L7Authorization& made = *mesh.service_policies.at("demo/a.demo.svc.cluster.local").at(0);
  CHECK(made.action == policy::L7Authorization::Action::deny);
  const policy::L7Rule& rule = made.rules.at(0);
  CHECK(rule.from.at(0).remote_ip_blocks.not_values.size() == 1);
  CHECK(rule.to.at(0).methods.not_values.size() == 1);
  CHECK(rule.to.at(0).paths.values.at(0) ==
        policy::StringMatch{policy::StringMatch::Kind::exact, "/a/{*}/b"});
  CHECK(rule.when.at(0).path == std::vector<std::string>{"a", "b"});
  CHECK(rule.when.at(1).path == std::vector<std::string>{"x-a"});
  CHECK(rule.when.at(2).cidrs.values.size() == 1);
}

TEST_CASE("a dry-run policy is marked, and a word that is not true leaves it enforced") {
  auto marked = [](std::string_view word) {
    return only_policy(
               policy_text(
                   "",
                   fmt::format("name: p, namespace: demo, annotations: {{istio.io/dry-run: '{}'}}", word)))
        .dry_run;
  };
  CHECK(marked("true"));
  CHECK_FALSE(marked("yes"));
}

TEST_CASE("what is wrong in a policy is an error with its path, never a looser policy") {
  struct Case {
    const char* spec;
    const char* error;
  };
  const Case cases[] = {
      {"rule: []", "spec.rule: unknown field"},
      {"action: allow", "spec.action: must be one of ALLOW, DENY, AUDIT, CUSTOM, not \"allow\""},
      {"action: CUSTOM", "spec.action: CUSTOM is not supported without targetRefs: nothing would enforce it"},
      {"rules: [{from: []}]", "spec.rules[0].from: must not be empty"},
      {"rules: [{from: [{source: {}}]}]", "spec.rules[0].from[0].source: names nothing to match"},
      {"rules: [{from: [{}]}]", "spec.rules[0].from[0].source: is required"},
      {"rules: [{from: [{source: {principals: []}}]}]",
       "spec.rules[0].from[0].source.principals: must not be empty"},
      {"rules: [{from: [{source: {principal: [a]}}]}]",
       "spec.rules[0].from[0].source.principal: unknown field"},
      {"rules: [{from: [{source: {ipBlocks: [10.0.0.0/33]}}]}]",
       "spec.rules[0].from[0].source.ipBlocks[0]: must be an IP address or a prefix like 10.0.0.0/24, not "
       "\"10.0.0.0/33\""},
      {"rules: [{from: [{source: {namespaces: [a], trustDomains: [x]}}]}]",
       "spec.rules[0].from[0].source.trustDomains: is not supported: write the trust domain into principals"},
      {"rules: [{from: [{source: {serviceAccounts: ['a/*']}}]}]",
       "spec.rules[0].from[0].source.serviceAccounts[0]: must be namespace/serviceaccount, without "
       "wildcards"},
      {"rules: [{to: [{operation: {ports: ['80', '0']}}]}]",
       "spec.rules[0].to[0].operation.ports[1]: must be a port from 1 to 65535"},
      {"rules: [{when: [{key: source.colour, values: [a]}]}]",
       "spec.rules[0].when[0].key: \"source.colour\" is not a condition this policy can be judged by"},
      {"rules: [{when: [{key: 'request.headers', values: [a]}]}]",
       "spec.rules[0].when[0].key: \"request.headers\" is not a condition this policy can be judged by"},
      {"rules: [{when: [{key: 'request.headers[:path]', values: [a]}]}]",
       "spec.rules[0].when[0].key: \"request.headers[:path]\" is not a condition this policy can be judged "
       "by"},
      {"rules: [{when: [{key: 'request.headers[Upgrade]', values: [a]}]}]",
       "spec.rules[0].when[0].key: \"request.headers[Upgrade]\" is not a condition this policy can be judged "
       "by"},
      {"rules: [{to: [{operation: {paths: ['/a/{b}']}}]}]",
       "spec.rules[0].to[0].operation.paths[0]: is not a path template: write {*} for one segment, {**} for "
       "any "
       "number, nothing beside them"},
      {"rules: [{when: [{key: source.ip}]}]", "spec.rules[0].when[0]: needs values or notValues"},
      {"selector: {matchExpressions: [{key: a}]}",
       "spec.selector.matchExpressions: is not supported: use matchLabels"},
      {"selector: {matchLabels: {a: b}}, targetRefs: [{kind: Service, name: a}]",
       "spec.selector: cannot stand beside targetRefs"},
      {"targetRefs: [{kind: Service, name: a, namespace: other}]",
       "spec.targetRefs[0].namespace: must be the policy's own"},
  };
  for (const Case& c : cases) {
    INFO(c.spec);
    CHECK(errors_of(policy_text(c.spec)) == fmt::format("x.yaml:5: AuthorizationPolicy demo/p: {}", c.error));
  }
}

}  // namespace ambientd::config
