// SPDX-License-Identifier: Apache-2.0
#include "l4/decide.h"

#include <algorithm>
#include <optional>
#include <tuple>

#include "config/balance.h"
#include "l4/ports.h"
#include "l4/waypoint.h"

namespace ambientd::l4 {
namespace {

using config::GatewayAddress;
using config::Purpose;
using config::ServicePtr;
using config::WorkloadPtr;

// What the application's destination resolves to.
struct Upstream {
  WorkloadPtr workload;
  uint16_t port = 0;
  ServicePtr service;  // when it was reached through one
};

constexpr size_t kMostRounds = 16;  // looks for an endpoint that can be reached, once some have failed

bool passes_through(const ServicePtr& service) {
  return service && service->load_balancer &&
         service->load_balancer->mode == config::LoadBalancer::Mode::passthrough;
}

class Decider {
 public:
  Decider(const config::Snapshot& snapshot, const Rules& rules, const Call& call, uint64_t random,
          config::Tried tried, Trace* trace)
      : snapshot_(snapshot), rules_(rules), call_(call), random_(random), tried_(tried), trace_(trace) {
    addressed_ = snapshot.workload_by_ip(rules.network, call.target.ip);
    if (!addressed_) service_ = snapshot.service_by_vip(rules.network, call.target.ip, call.self.ns);
    if (trace) std::tie(trace->addressed, trace->service) = std::tie(addressed_, service_);
  }

  Result<Decision> run() {
    if (service_) {
      std::optional<Result<Decision>> decided = service_waypoint();
      if (decided) return std::move(*decided);
    }
    if (tried_.empty()) return endpoint();
    // Another endpoint may share with a former one what made that one fail: a network gateway.
    std::vector<WorkloadPtr> out(tried_.begin(), tried_.end());
    Result<Decision> decision;
    for (size_t round = 0; round < kMostRounds; ++round) {
      tried_ = out;
      chosen_ = nullptr;
      decision = endpoint();
      if (decision || !chosen_) break;
      out.push_back(chosen_);
    }
    tried_ = {};
    return decision;
  }

 private:
  // The way through the service's waypoint, or why it is refused. Nothing: it has none, or is called without.
  std::optional<Result<Decision>> service_waypoint() {
    const GatewayAddress* waypoint = config::service_waypoint(*service_, random_ & 0xffffffff);
    if (!waypoint) return missing(service_->missing_waypoint, MissingWaypoint::istio);
    if (comes_from_waypoint(snapshot_, *waypoint, call_)) return {};
    Result<Decision> decision = through(*waypoint);
    if (decision || decision.error().code != Errc::unknown_waypoint) return decision;
    for (const config::WeightedWaypoint& other : service_->weighted_waypoints) {
      if (other.weight == 0 || &other.destination == waypoint) continue;
      Result<Decision> instead = through(other.destination);
      if (instead) return instead;
    }
    // One whose instances have all been tried is not missing.
    if (rules_.missing_waypoint != MissingWaypoint::pass || exists(*waypoint)) return decision;
    return missing(waypoint->str(), MissingWaypoint::pass);
  }

  bool exists(const GatewayAddress& waypoint) const {
    return find_gateway(snapshot_, GatewayKind::waypoint, waypoint, call_, 0).has_value();
  }

  // A waypoint that was asked for and is not there: refused, or passed by where the rules say so.
  std::optional<Result<Decision>> missing(const std::string& waypoint, MissingWaypoint pass_by) {
    if (waypoint.empty()) return {};
    if (rules_.missing_waypoint == pass_by || rules_.missing_waypoint == MissingWaypoint::pass) {
      skipped_ = waypoint;
      return {};
    }
    return fail(Errc::unknown_waypoint,
                "unknown waypoint: waypoint " + waypoint +
                    " not found (there is no such Gateway, or it does not let this namespace in; "
                    "--missing-waypoint=pass would call without it)");
  }

  Result<Decision> endpoint() {
    std::optional<Upstream> upstream = resolve();
    if (!upstream) return unresolved();
    chosen_ = upstream->workload;
    const config::Workload& to = *upstream->workload;
    if (to.network != call_.self.network) return elsewhere(to, upstream->service.get());
    if (!service_) {
      std::optional<Result<Decision>> decided = workload_waypoint(*upstream);
      if (decided) return std::move(*decided);
    }
    return straight(*upstream);
  }

  std::optional<Result<Decision>> workload_waypoint(const Upstream& upstream) {
    const config::Workload& to = *upstream.workload;
    if (!to.waypoint) return missing(to.missing_waypoint, MissingWaypoint::istio);
    if (comes_from_waypoint(snapshot_, *to.waypoint, call_)) return {};
    Result<Decision> decision = through(*to.waypoint, upstream.service);
    bool unknown = !decision && decision.error().code == Errc::unknown_waypoint;
    if (!unknown || rules_.missing_waypoint != MissingWaypoint::pass || exists(*to.waypoint)) return decision;
    return missing(to.waypoint->str(), MissingWaypoint::pass);
  }

  // A service on the address first, then a workload: an address may be both (§4, fetch_upstream).
  std::optional<Upstream> resolve() const {
    const SockAddr& target = call_.target;
    ServicePtr service = service_;
    if (!service) service = snapshot_.service_by_vip(call_.self.network, target.ip, call_.self.ns);
    if (service && !passes_through(service)) {
      if (trace_)
        trace_->choices.push_back(
            {"endpoint", service, target.port,
             config::candidates(snapshot_, *service, target.port, call_.self, Purpose::traffic, tried_)});
      std::optional<config::Choice> choice = config::balance(snapshot_, *service, target.port, call_.self,
                                                             Purpose::traffic, random_ >> 32, tried_);
      if (choice) return Upstream{choice->workload, choice->port, service};
    }
    // A workload that is known is never passed by in plaintext because a service also claims its address.
    if (addressed_ && !contains(tried_, *addressed_)) return Upstream{addressed_, target.port, nullptr};
    return {};
  }

  Result<Decision> unresolved() const {
    if (addressed_ || (service_ && !passes_through(service_)))
      return fail(Errc::no_healthy_upstream, "no healthy upstream: " + call_.target.str());
    return Decision{.to = call_.target, .skipped_waypoint = skipped_};
  }

  // To another network, through its gateway. `of`: the service whose identities may answer there.
  Result<Decision> elsewhere(const config::Workload& to, const config::Service* of) const {
    if (!service_) return fail(Errc::not_found, "no service for target address: " + call_.target.str());
    if (!to.network_gateway) return fail(config::no_destination(to));
    Result<Gateway> gateway = find_gateway(snapshot_, GatewayKind::network, *to.network_gateway, call_,
                                           random_ >> 32, tried_, trace_);
    if (!gateway) return fail(std::move(gateway.error()));
    std::vector<Identity> inner = identities(of, to);
    if (to.service_account.empty()) inner.pop_back();
    if (inner.empty())
      return fail(Errc::no_destination, "service " + service_->key() + " on network '" + to.network +
                                            "' names nobody who may answer there (no subjectAltNames)");
    return Decision{.protocol = Decision::Protocol::double_hbone,
                    .to = gateway->address,
                    .authority = service_->hostname + ":" + std::to_string(call_.target.port),
                    .peers = std::move(gateway->identities),
                    .workload = snapshot_.workload_by_uid(to.uid),
                    .service = service_,
                    .inner_peers = std::move(inner),
                    .gateway = gateway->workload,
                    .hostname = std::move(gateway->hostname),
                    .skipped_waypoint = skipped_};
  }

  Result<Decision> through(const GatewayAddress& waypoint, const ServicePtr& reached = nullptr) const {
    Result<Gateway> found =
        find_gateway(snapshot_, GatewayKind::waypoint, waypoint, call_, random_ >> 32, tried_, trace_);
    if (!found) return fail(std::move(found.error()));
    if (found->workload->network != call_.self.network)
      return elsewhere(*found->workload, found->service.get());
    return Decision{.protocol = Decision::Protocol::hbone,
                    .to = found->address,
                    .authority = call_.target.str(),
                    .peers = std::move(found->identities),
                    .workload = found->workload,
                    .service = service_ ? service_ : reached,
                    .hostname = std::move(found->hostname)};
  }

  Result<Decision> straight(Upstream& upstream) const {
    const config::Workload& to = *upstream.workload;
    Decision out{.to = {{}, upstream.port},
                 .workload = upstream.workload,
                 .service = upstream.service,
                 .skipped_waypoint = skipped_};
    if (to.protocol == config::Tunnel::hbone) {
      out.protocol = Decision::Protocol::hbone;
      out.peers = identities(upstream.service.get(), to);
      out.app_port = upstream.port;
      out.to.port = kHbonePort;
    }
    if (config::needs_dns(to)) {
      out.hostname = to.hostname;
      return out;
    }
    Status completed = complete(out, to.addresses, call_);
    if (!completed) return fail(std::move(completed.error()));
    return out;
  }

  const config::Snapshot& snapshot_;
  const Rules& rules_;
  const Call& call_;
  uint64_t random_;
  config::Tried tried_;
  Trace* trace_;
  WorkloadPtr addressed_;  // the destination is a workload's address …
  ServicePtr service_;     // … or else a service's
  WorkloadPtr chosen_;     // by the last round
  std::string skipped_;    // the missing waypoint that is passed by
};

}  // namespace

Result<Decision> decide(const config::Snapshot& snapshot, const Rules& rules, const Call& call,
                        uint64_t random, config::Tried tried, Trace* trace) {
  return Decider(snapshot, rules, call, random, tried, trace).run();
}

Status complete(Decision& decision, std::span<const Ip> addresses, const Call& call) {
  const config::WorkloadPtr& hop = decision.gateway ? decision.gateway : decision.workload;
  auto families = config::IpFamilies::automatic;
  bool endpoint = decision.protocol == Decision::Protocol::tcp || decision.app_port != 0;  // of the service
  if (decision.service && endpoint) families = decision.service->ip_families;
  Result<Ip> ip = config::resolved_ip(*hop, addresses, call.target.ip, families);
  if (!ip) return fail(std::move(ip.error()));
  decision.to.ip = *ip;
  decision.hostname.clear();
  if (decision.app_port != 0) decision.authority = SockAddr{*ip, decision.app_port}.str();
  return {};
}

std::vector<WorkloadPtr> hops(const Decision& decision) {
  std::vector<WorkloadPtr> out;
  if (decision.workload) out.push_back(decision.workload);
  if (decision.gateway) out.push_back(decision.gateway);
  return out;
}

bool calls_ourselves(const SockAddr& target, const SockAddr& local) {
  return is_own_port(target.port) && (target.ip.is_loopback() || target == local);
}

}  // namespace ambientd::l4
