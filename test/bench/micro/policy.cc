// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cstdlib>

#include "policy/authorization.h"
#include "policy/l7_authorization.h"
#include "test/bench/micro/micro.h"

namespace ambientd::bench {
namespace {

constexpr int kPolicies = 20;  // the last one lets the client in, so all are looked at

std::string name_of(int i) { return i + 1 == kPolicies ? "client" : fmt::format("other-{}", i); }

void l4(Bench& bench) {
  std::vector<std::shared_ptr<const policy::Authorization>> policies;
  for (int i = 0; i < kPolicies; ++i) {
    policy::Match match;
    match.principals = {{policy::StringMatch::Kind::exact, "cluster.local/ns/demo/sa/" + name_of(i)}};
    match.destination_ports = {8080};
    policy::Authorization made;
    made.name = fmt::format("p{}", i);
    made.ns = "demo";
    made.rules = {{{match}}};
    policies.push_back(std::make_shared<const policy::Authorization>(std::move(made)));
  }
  policy::Peer peer{
      Identity{"cluster.local", "demo", "client"}, Ip::v4(10, 0, 0, 1), {Ip::v4(10, 0, 0, 2), 8080}};
  bench.measure({.name = fmt::format("policy: L4 judge, {} policies", kPolicies), .most = 2 * kPolicies},
                [&](uint64_t n) {
                  for (uint64_t i = 0; i < n; ++i) {
                    policy::Verdict verdict = policy::judge(policies, {}, peer);
                    if (!verdict.allow) std::abort();
                    keep(verdict);
                  }
                });
}

void l7(Bench& bench) {
  std::vector<std::shared_ptr<const policy::L7Authorization>> policies;
  for (int i = 0; i < kPolicies; ++i) {
    policy::Source source;
    source.principals.values = {policy::parse_string_match("cluster.local/ns/demo/sa/" + name_of(i))};
    policy::Operation operation;
    operation.methods.values = {policy::parse_string_match("GET")};
    operation.paths.values = {policy::parse_string_match("/api/*")};
    policy::L7Authorization made;
    made.name = fmt::format("p{}", i);
    made.ns = "demo";
    made.rules = {{.from = {source}, .to = {operation}, .when = {}}};
    policies.push_back(std::make_shared<const policy::L7Authorization>(std::move(made)));
  }
  policy::Request request;
  request.identity = Identity{"cluster.local", "demo", "client"};
  request.source = Ip::v4(10, 0, 0, 1);
  request.destination = {Ip::v4(10, 96, 0, 7), 80};
  request.method = "GET";
  request.path = "/api/items";
  request.host = "web:80";
  bench.measure({.name = fmt::format("policy: L7 judge, {} policies", kPolicies), .most = 2 * kPolicies},
                [&](uint64_t n) {
                  for (uint64_t i = 0; i < n; ++i) {
                    policy::L7Verdict verdict = policy::judge(policies, request);
                    if (!verdict.allow) std::abort();
                    keep(verdict);
                  }
                });
}

}  // namespace

void judges(Bench& bench) {
  l4(bench);
  l7(bench);
}

}  // namespace ambientd::bench
