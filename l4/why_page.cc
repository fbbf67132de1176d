// SPDX-License-Identifier: Apache-2.0
#include "l4/why_page.h"

#include <nlohmann/json.hpp>

#include "l4/dump_mesh.h"

namespace ambientd::l4 {
namespace {

using nlohmann::json;

constexpr size_t kMostName = 512;  // bytes of src or dst

std::string name(const config::Workload& workload) { return workload.ns + "/" + workload.name; }
json name(const config::WorkloadPtr& workload) { return workload ? json(name(*workload)) : json(); }
json key(const config::ServicePtr& service) { return service ? json(service->key()) : json(); }

json source(const Explanation& why) {
  const config::Workload& self = *why.question.source;
  return {{"workload", name(self)},
          {"uid", self.uid},
          {"address", why.question.from.str()},
          {"identity", self.identity().uri()},
          {"network", self.network}};
}

json choice(const Trace::Choosing& choosing) {
  json candidates = json::array();
  for (const config::Candidate& each : choosing.candidates) {
    bool in = each.standing == config::Standing::in;
    candidates.push_back({{"workload", name(*each.workload)},
                          {"uid", each.workload->uid},
                          {"in", in},
                          {"reason", std::string(text(each.standing))},
                          {"port", in ? json(each.port) : json()},
                          {"capacity", each.workload->capacity}});
  }
  return {{"what", std::string(choosing.what)},
          {"service", key(choosing.of)},
          {"port", choosing.port},
          {"candidates", std::move(candidates)}};
}

// What the policy comes to on this connection.
std::string effect(const policy::Authorization& policy, bool matches) {
  bool deny = policy.action == policy::Authorization::Action::deny;
  if (!matches) return "does not match";
  if (policy.dry_run) return deny ? "would deny (dry run)" : "would allow (dry run)";
  return deny ? "denies" : "allows";
}

json judged(const FarEnd::Judged& each, const policy::Verdict& verdict) {
  const policy::Authorization& policy = *each.policy;
  json out{{"policy", policy.key()},
           {"action", action_name(policy.action)},
           {"scope", scope_name(policy.scope)},
           {"dryRun", policy.dry_run},
           {"verdict", effect(policy, each.rule.has_value())},
           {"decided", !policy.dry_run && policy.key() == verdict.policy}};
  if (each.rule) {
    out["ruleNumber"] = *each.rule + 1;
    out["rule"] = rule_shown(policy.rules[*each.rule]);
  }
  return out;
}

json far_end(const FarEnd& far) {
  json out{{"status", far.status}};
  if (!far.admission) {
    out["reason"] = far.admission.error().detail;
    return out;
  }
  out["application"] = far.admission->app.str();
  out["allowed"] = far.verdict.allow;
  out["reason"] = far.verdict.reason;
  out["decidedBy"] = far.verdict.policy;
  out["unknownPolicies"] = far.unknown;
  out["policies"] = json::array();
  for (const FarEnd::Judged& each : far.policies) out["policies"].push_back(judged(each, far.verdict));
  return out;
}

const char* protocol(Decision::Protocol protocol) {
  switch (protocol) {
    case Decision::Protocol::tcp:
      return "TCP";
    case Decision::Protocol::hbone:
      return "HBONE";
    case Decision::Protocol::double_hbone:
      return "DOUBLEHBONE";
  }
  return "";
}

json identities(const std::vector<Identity>& all) {
  json out = json::array();
  for (const Identity& each : all) out.push_back(each.uri());
  return out;
}

json hop(const char* what, const config::WorkloadPtr& workload) {
  return {{"what", what}, {"workload", name(workload)}};
}

// Whom the bytes pass, as far as this proxy knows.
json path(const Decision& decision) {
  json out = json::array();
  if (decision.gateway) out.push_back(hop("network gateway", decision.gateway));
  bool end = decision.protocol == Decision::Protocol::tcp || decision.app_port != 0;
  if (!decision.workload) {
    out.push_back(hop("destination outside of the mesh", nullptr));
  } else {
    out.push_back(hop(end || decision.gateway ? "workload" : "waypoint", decision.workload));
  }
  return out;
}

json way(const Way& way) {
  if (!way.decision) return {{"error", way.decision.error().detail}};
  const Decision& decision = *way.decision;
  json out{{"protocol", protocol(decision.protocol)},
           {"service", key(decision.service)},
           {"hops", path(decision)},
           {"expects", identities(decision.peers)}};
  if (decision.hostname.empty()) {
    out["dials"] = decision.to.str();
  } else {
    out["resolves"] = decision.hostname;
    out["port"] = decision.to.port;
  }
  if (!decision.authority.empty()) out["authority"] = decision.authority;
  if (!decision.inner_peers.empty()) out["expectsInside"] = identities(decision.inner_peers);
  if (!decision.skipped_waypoint.empty()) out["skippedWaypoint"] = decision.skipped_waypoint;
  if (way.far_end) out["farEnd"] = far_end(*way.far_end);
  return out;
}

}  // namespace

json shown(const Explanation& why) {
  json out{{"source", source(why)},
           {"destination",
            {{"address", why.question.target.str()},
             {"workload", name(why.trace.addressed)},
             {"service", key(why.trace.service)}}},
           {"complete", why.complete},
           {"choices", json::array()},
           {"ways", json::array()}};
  if (!why.uncaptured.empty()) out["uncaptured"] = why.uncaptured;
  for (const Trace::Choosing& each : why.trace.choices) out["choices"].push_back(choice(each));
  for (const Way& each : why.ways) out["ways"].push_back(way(each));
  return out;
}

AdminResponse answer_why(const config::Snapshot* snapshot, const Options& options,
                         const AdminRequest& request) {
  if (request.method != "GET") return {405, "ask with GET\n"};
  std::string src = request.parameter("src").value_or(""), dst = request.parameter("dst").value_or("");
  if (src.empty() || dst.empty() || src.size() > kMostName || dst.size() > kMostName)
    return {400, "usage: GET /debug/why?src=NAMESPACE/NAME&dst=IP:PORT (or HOSTNAME:PORT)\n"};
  if (!snapshot) return {503, "there is no configuration yet\n"};
  Result<Question> question = understand(*snapshot, options.network, options.cluster_domain, src, dst);
  if (!question)
    return {question.error().code == Errc::not_found ? 404 : 400, question.error().detail + "\n"};
  Explanation why = explain(*snapshot, {options.network, options.missing_waypoint}, std::move(*question));
  return {200, shown(why).dump(2, ' ', false, json::error_handler_t::replace) + "\n", "application/json"};
}

}  // namespace ambientd::l4
