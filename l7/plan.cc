// SPDX-License-Identifier: Apache-2.0
#include "l7/plan.h"

#include "l7/request_headers.h"
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

// The rule and backend that take the request, and their header operations.
std::optional<Cause> route(const View& view, Request& request, uint64_t random, Plan& plan) {
  plan.table = view.routes->find(plan.service->key(), plan.service_port);
  if (!plan.table) return {};
  plan.rule = plan.table->find(request);
  if (!plan.rule) return plan.table->routed() ? std::optional(Cause::no_route) : std::nullopt;
  plan.backend = pick_backend(*plan.rule, random);
  if (!plan.backend) return Cause::no_cluster;
  config::ServicePtr target = service_of(view, plan.backend->service);
  if (!target || !target->ports.contains(plan.backend->port)) return Cause::no_cluster;
  plan.service = std::move(target);
  plan.service_port = plan.backend->port;
  apply(plan.rule->request_headers, request);
  apply(plan.backend->request_headers, request);
  return {};
}

}  // namespace

std::expected<Plan, Refusal> plan_request(const View& view, const Tunnel& tunnel, Request& request,
                                          const Dice& dice, const policy::VerifiedToken* token) {
  if (!view.self) return refuse(Cause::no_healthy_upstream);
  policy::L7Verdict verdict = judge_request(view, tunnel, request, token);
  if (!verdict.allow) return refuse(Cause::denied, {.details = std::move(verdict.details)});
  Plan plan;
  plan.protocol = request.protocol;
  if (!tunnel.target.service) return plan;
  plan.service = tunnel.target.service;
  plan.service_port = tunnel.target.destination.port;
  if (std::optional<Cause> cause = route(view, request, dice.backend, plan)) return refuse(*cause);
  plan.protocol = protocol_of(plan, request);
  return plan;
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
