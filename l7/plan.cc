// SPDX-License-Identifier: Apache-2.0
#include "l7/plan.h"

#include "l7/redirect.h"
#include "l7/request_headers.h"
#include "l7/response_headers.h"
#include "l7/rewrite.h"
#include "policy/l7_authorization.h"

namespace ambientd::l7 {
namespace {

using config::AppProtocol;

std::unexpected<Refusal> refuse(Cause cause, Note note = {}) {
  return std::unexpected(Refusal{cause, std::move(note)});
}

policy::Request facts(const Tunnel& tunnel) {
  policy::Request facts;
  facts.identity = tunnel.caller->identity;
  facts.source = tunnel.peer.ip;
  facts.destination = tunnel.target.destination;
  return facts;
}

std::vector<config::L7PolicyPtr> policies_of(const View& view, const Tunnel& tunnel) {
  const config::ServicePtr& service = tunnel.target.service;
  return view.snapshot->l7_policies(service ? service->key() : std::string(), view.self->gateway);
}

policy::L7Verdict judge_request(const View& view, const Tunnel& tunnel, const Request& request,
                                const policy::VerifiedToken* token) {
  std::vector<config::L7PolicyPtr> policies = policies_of(view, tunnel);
  if (policies.empty()) return {.allow = true, .policy = {}, .details = {}};
  std::vector<std::pair<std::string, std::string>> headers;
  headers.reserve(request.fields.size() + 1);
  headers.emplace_back("host", request.authority);  // which is no field any more
  for (const http1::Field& field : request.fields) headers.emplace_back(field.name, field.value);
  policy::Request what = facts(tunnel);
  what.remote = forwarded_address(request);
  what.method = request.method;
  what.path = request.path_only();
  what.host = request.authority;
  what.headers = headers;
  if (token) {
    what.issuer = token->jwt.issuer;
    what.subject = token->jwt.subject;
    what.claims = token->claims;
  }
  return policy::judge(policies, what);
}

Protocol protocol_of(const Plan& plan, const Request& request) {
  auto port = plan.service->ports.find(plan.service_port);
  if (port == plan.service->ports.end()) return Protocol::http1;
  switch (port->second.protocol) {
    case AppProtocol::http2:
    case AppProtocol::grpc:
      return Protocol::http2;
    case AppProtocol::sniff:
      return request.protocol;
    case AppProtocol::http1:
    case AppProtocol::tcp:
    case AppProtocol::tls:
    case AppProtocol::udp:
      return Protocol::http1;
  }
  return Protocol::http1;
}

config::ServicePtr service_of(const View& view, const std::string& key) {
  size_t slash = key.find('/');
  if (slash == key.npos) return nullptr;
  return view.snapshot->service(std::string_view(key).substr(0, slash),
                                std::string_view(key).substr(slash + 1));
}

// The answer of a rule that has one.
std::optional<LocalReply> answer_of(const config::RouteRule& rule, const Request& request, uint16_t port) {
  if (!rule.redirect && !rule.direct) return {};
  int status = rule.redirect ? rule.redirect->status : rule.direct->status;
  std::string_view body = rule.redirect ? std::string_view() : rule.direct->body;
  LocalReply out = plain_reply({status, body, "-", "direct_response"}, request);
  if (rule.redirect)
    set_field(out.response.fields, "location", location(*rule.redirect, rule.match.path, request, port));
  apply(rule.response_headers, out.response);
  return out;
}

}  // namespace

std::expected<Plan, Refusal> plan_request(const View& view, const Tunnel& tunnel, const Request& request,
                                          const policy::VerifiedToken* token) {
  if (!view.self) return refuse(Cause::no_healthy_upstream);
  policy::L7Verdict verdict = judge_request(view, tunnel, request, token);
  if (!verdict.allow) return refuse(Cause::denied, {.details = std::move(verdict.details)});
  Plan plan;
  plan.protocol = request.protocol;
  if (!tunnel.target.service) return plan;
  plan.service = tunnel.target.service;
  plan.service_port = tunnel.target.destination.port;
  plan.table = view.routes->find(plan.service->key(), plan.service_port);
  if (!plan.table) return plan;
  plan.rule = plan.table->find(request, token);
  if (!plan.rule && plan.table->routed()) return refuse(Cause::no_route);
  return plan;
}

std::optional<LocalReply> take_route(const View& view, const Tunnel& tunnel, uint64_t random,
                                     Request& request, Plan& plan) {
  if (plan.rule) {
    std::optional<LocalReply> answer = answer_of(*plan.rule, request, tunnel.target.destination.port);
    if (answer) return answer;
    plan.backend = pick_backend(*plan.rule, random);
    config::ServicePtr to = plan.backend ? service_of(view, plan.backend->service) : nullptr;
    if (!to || !to->ports.contains(plan.backend->port)) return local_reply(Cause::no_cluster, request);
    plan.service = std::move(to);
    plan.service_port = plan.backend->port;
    apply(plan.rule->request_headers, request);
    apply(plan.backend->request_headers, request);
    rewrite(*plan.rule, request);
  }
  if (plan.service) plan.protocol = protocol_of(plan, request);
  return {};
}

bool place_plan(const View& view, const Tunnel& tunnel, const Picking& picking, Plan& plan) {
  const SockAddr& wanted = tunnel.target.destination;
  std::optional<Placement> placement;
  if (!plan.service) {
    placement = place_direct(wanted, tunnel.target.workload);
  } else if (view.self) {
    placement = place(view, *plan.service, plan.service_port, wanted.ip, picking);
  }
  if (!placement) return false;
  plan.to = std::move(placement->to);
  plan.endpoint = std::move(placement->endpoint);
  return true;
}

std::expected<Plan, Refusal> plan_connection(const View& view, const Tunnel& tunnel, const Dice& dice,
                                             const LoadOf& load) {
  if (!view.self) return refuse(Cause::no_healthy_upstream);
  policy::Request what = facts(tunnel);
  what.http = false;
  policy::L7Verdict verdict = policy::judge(policies_of(view, tunnel), what);
  if (!verdict.allow) return refuse(Cause::denied, {.details = std::move(verdict.details)});
  Plan plan;
  plan.service = tunnel.target.service;
  plan.service_port = tunnel.target.destination.port;
  if (!place_plan(view, tunnel, {dice, load}, plan)) return refuse(Cause::no_healthy_upstream);
  return plan;
}

}  // namespace ambientd::l7
