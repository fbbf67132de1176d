// SPDX-License-Identifier: Apache-2.0
#include "l4/decide.h"

#include <algorithm>
#include <optional>

#include "config/balance.h"
#include "l4/ports.h"
#include "l4/waypoint.h"

namespace ambientd::l4 {
namespace {

using config::Purpose;
using config::ServicePtr;
using config::WorkloadPtr;

// What the application's destination resolves to.
struct Upstream {
  WorkloadPtr workload;
  uint16_t port = 0;
  ServicePtr service;  // when it was reached through one
};

class Decider {
 public:
  Decider(const config::Snapshot& snapshot, std::string_view network, const Call& call, uint64_t random)
      : snapshot_(snapshot), call_(call), random_(random) {
    addressed_ = snapshot.workload_by_ip(network, call.target.ip);
    if (!addressed_) service_ = snapshot.service_by_vip(network, call.target.ip, call.self.ns);
  }

  Result<Decision> run() {
    if (service_) {
      if (const config::GatewayAddress* waypoint = config::service_waypoint(*service_, random_ & 0xffffffff))
        return through(*waypoint);
    }
    std::optional<Upstream> upstream = resolve();
    if (!upstream) return unresolved();
    const config::Workload& to = *upstream->workload;
    if (to.network != call_.self.network) return elsewhere(to);
    if (!service_ && to.waypoint && !comes_from_waypoint(snapshot_, *to.waypoint, call_))
      return through(*to.waypoint, upstream->service);
    return straight(*upstream);
  }

 private:
  // A service on the address first, then a workload: an address may be both (§4, fetch_upstream).
  std::optional<Upstream> resolve() const {
    const SockAddr& target = call_.target;
    ServicePtr service = service_;
    if (!service) service = snapshot_.service_by_vip(call_.self.network, target.ip, call_.self.ns);
    bool passthrough = service && service->load_balancer &&
                       service->load_balancer->mode == config::LoadBalancer::Mode::passthrough;
    if (service && !passthrough) {
      std::optional<config::Choice> choice =
          config::balance(snapshot_, *service, target.port, call_.self, Purpose::traffic, random_ >> 32);
      if (choice) return Upstream{choice->workload, choice->port, service};
    }
    // A workload that is known is never passed by in plaintext because a service also claims its address.
    if (addressed_) return Upstream{addressed_, target.port, nullptr};
    return {};
  }

  Result<Decision> unresolved() const {
    bool passthrough = service_ && service_->load_balancer &&
                       service_->load_balancer->mode == config::LoadBalancer::Mode::passthrough;
    if (service_ && !passthrough)
      return fail(Errc::no_healthy_upstream, "no healthy upstream: " + call_.target.str());
    return Decision{.to = call_.target};
  }

  Result<Decision> elsewhere(const config::Workload& to) const {
    if (!service_) return fail(Errc::not_found, "no service for target address: " + call_.target.str());
    if (!to.network_gateway) return fail(config::no_destination(to));
    return fail(Errc::no_destination, "workload " + to.uid + " is on network '" + to.network +
                                          "': calls through a network gateway are not supported yet");
  }

  Result<Decision> through(const config::GatewayAddress& waypoint,
                           const ServicePtr& reached = nullptr) const {
    Result<Waypoint> found = find_waypoint(snapshot_, waypoint, call_, random_ >> 32);
    if (!found) return fail(std::move(found.error()));
    if (found->workload->network != call_.self.network) return elsewhere(*found->workload);
    return Decision{Decision::Protocol::hbone,    found->address,  call_.target.str(),
                    std::move(found->identities), found->workload, service_ ? service_ : reached};
  }

  Result<Decision> straight(Upstream& upstream) const {
    const config::Workload& to = *upstream.workload;
    auto families = upstream.service ? upstream.service->ip_families : config::IpFamilies::automatic;
    Result<Ip> ip = config::destination_ip(to, call_.target.ip, families);
    if (!ip) return fail(std::move(ip.error()));
    SockAddr app{*ip, upstream.port};
    if (to.protocol == config::Tunnel::tcp)
      return Decision{.to = app, .workload = upstream.workload, .service = upstream.service};
    return Decision{
        Decision::Protocol::hbone, {*ip, kHbonePort}, app.str(), identities(upstream.service.get(), to),
        upstream.workload,         upstream.service};
  }

  const config::Snapshot& snapshot_;
  const Call& call_;
  uint64_t random_;
  WorkloadPtr addressed_;  // the destination is a workload's address …
  ServicePtr service_;     // … or else a service's
};

}  // namespace

Result<Decision> decide(const config::Snapshot& snapshot, std::string_view network, const Call& call,
                        uint64_t random) {
  return Decider(snapshot, network, call, random).run();
}

bool calls_ourselves(const SockAddr& target, const SockAddr& local) {
  return is_own_port(target.port) && (target.ip.is_loopback() || target == local);
}

}  // namespace ambientd::l4
