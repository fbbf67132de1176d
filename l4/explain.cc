// SPDX-License-Identifier: Apache-2.0
#include "l4/explain.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <set>
#include <tuple>

#include "core/text.h"
#include "l4/outcome.h"

namespace ambientd::l4 {
namespace {

using config::WorkloadPtr;

constexpr size_t kMostDraws = 256;  // random numbers that are tried
constexpr size_t kMostWays = 64;

WorkloadPtr by_name(const config::Snapshot& snapshot, std::string_view name) {
  for (const WorkloadPtr& each : snapshot.workloads())
    if (name == each->ns + "/" + each->name) return each;
  return nullptr;
}

config::ServicePtr by_hostname(const config::Snapshot& snapshot, const std::string& host, std::string_view ns,
                               std::string_view domain) {
  for (const std::string& name : {host, fmt::format("{}.{}.svc.{}", host, ns, domain),
                                  fmt::format("{}.svc.{}", host, domain), fmt::format("{}.{}", host, domain)})
    if (config::ServicePtr found = snapshot.service_by_hostname(name, ns)) return found;
  return nullptr;
}

// The address an application of `source` would be given for a service.
std::optional<Ip> vip(const config::Service& service, std::string_view network, const Ip& source) {
  std::optional<Ip> out;
  for (const config::NetworkAddress& each : service.vips) {
    if (each.network != network) continue;
    if (!out || (out->v6 != source.v6 && each.ip.v6 == source.v6)) out = each.ip;
  }
  return out;
}

Result<Ip> address_of(const config::Snapshot& snapshot, std::string_view network, std::string_view domain,
                      const config::Workload& self, const Ip& from, const std::string& host) {
  if (std::optional<Ip> ip = Ip::parse(host)) return *ip;
  if (host.find('/') != host.npos) {
    WorkloadPtr workload = by_name(snapshot, host);
    if (!workload) return fail(Errc::not_found, "no workload " + quoted(host));
    if (workload->addresses.empty()) return fail(Errc::not_found, quoted(host) + " has no address");
    return workload->addresses.front();
  }
  config::ServicePtr service = by_hostname(snapshot, host, self.ns, domain);
  if (!service)
    return fail(Errc::not_found,
                fmt::format("no service {} that namespace {} may see", quoted(host), quoted(self.ns)));
  if (std::optional<Ip> ip = vip(*service, network, from)) return *ip;
  return fail(Errc::not_found, fmt::format("service {} has no address on network {}", service->key(),
                                           quoted(std::string(network))));
}

Result<SockAddr> target_of(const config::Snapshot& snapshot, std::string_view network,
                           std::string_view domain, const config::Workload& self, const Ip& from,
                           const std::string& text) {
  if (std::optional<SockAddr> at = SockAddr::parse(text); at && at->port != 0) return *at;
  size_t colon = text.rfind(':');
  std::optional<uint64_t> port;
  if (colon != text.npos) port = parse_uint(std::string_view(text).substr(colon + 1));
  if (!port || *port == 0 || *port > 65535)
    return fail(Errc::invalid,
                "destination " + quoted(text) + " is not IP:PORT, HOSTNAME:PORT or NAMESPACE/NAME:PORT");
  Result<Ip> ip = address_of(snapshot, network, domain, self, from, text.substr(0, colon));
  if (!ip) return fail(std::move(ip.error()));
  return SockAddr{*ip, static_cast<uint16_t>(*port)};
}

std::string why_uncaptured(const config::Workload& source, const SockAddr& target) {
  if (target.ip.is_loopback()) return "what a pod sends to itself is not captured";
  if (source.network_mode == config::NetworkMode::host_network)
    return "a pod on the host's network is not captured";
  if (source.native_tunnel) return "it speaks HBONE itself: its own admin port knows where its calls go";
  if (source.protocol != config::Tunnel::hbone) return "it is not in the mesh";
  return {};
}

// Only a ztunnel judges by L4 policies: a waypoint has its own, a plain pod none.
bool has_ztunnel(const Decision& decision) {
  return decision.protocol == Decision::Protocol::hbone && decision.hostname.empty() && decision.workload &&
         !decision.workload->native_tunnel;
}

FarEnd far_end(const config::Snapshot& snapshot, const Rules& rules, const Question& question,
               const Decision& decision) {
  const config::Workload& called = *decision.workload;
  FarEnd out{validate(snapshot, rules.network, called, decision.to, decision.authority), {}, {}, {}, 200};
  if (!out.admission) {
    out.status = connect_status(out.admission.error().code);
    return out;
  }
  policy::Peer peer{question.source->identity(), question.from, out.admission->app};
  std::vector<config::AuthorizationPtr> policies = snapshot.policies_for(called, &out.unknown);
  out.verdict = policy::judge(policies, out.unknown, peer);
  if (!out.verdict.allow) out.status = connect_status(Errc::denied);
  for (config::AuthorizationPtr& each : policies) {
    std::optional<size_t> rule = policy::matching_rule(*each, peer);
    out.policies.push_back({std::move(each), rule});
  }
  return out;
}

// Finds the ways by trying random numbers: for each choice met on one of them, the numbers by which each of
// its candidates is chosen.
class Explorer {
 public:
  Explorer(const config::Snapshot& snapshot, const Rules& rules, Explanation& out)
      : snapshot_(snapshot), rules_(rules), out_(out) {}

  void run() {
    add(0);
    for (size_t next = 0; next < draws_.size(); ++next) walk(draws_[next]);
  }

 private:
  void add(uint64_t draw) {
    if (!known_.insert(draw).second) return;
    if (known_.size() > kMostDraws) {
      out_.complete = false;
    } else {
      draws_.push_back(draw);
    }
  }

  void walk(uint64_t draw) {
    const Question& question = out_.question;
    Trace trace;
    Call call{*question.source, question.from, question.target};
    Result<Decision> decision = decide(snapshot_, rules_, call, draw, {}, &trace);
    if (draw == 0) {
      std::tie(out_.trace.addressed, out_.trace.service) = std::tie(trace.addressed, trace.service);
      if (trace.service) add_waypoints(*trace.service);
    }
    for (Trace::Choosing& each : trace.choices) add_choice(std::move(each), draw & 0xffffffff);
    add_way(std::move(decision));
  }

  void add_waypoints(const config::Service& service) {
    uint64_t weight = 0;
    for (const config::WeightedWaypoint& each : service.weighted_waypoints) {
      if (each.weight != 0 && weight <= UINT32_MAX) add(weight);
      weight += each.weight;
    }
  }

  void add_choice(Trace::Choosing choice, uint64_t low) {
    bool known = std::ranges::any_of(out_.trace.choices, [&](const Trace::Choosing& each) {
      return each.what == choice.what && each.of == choice.of && each.port == choice.port;
    });
    if (known) return;
    for (const config::Candidate& each : choice.candidates)
      if (each.standing == config::Standing::in && each.draw <= UINT32_MAX) add((each.draw << 32) | low);
    out_.trace.choices.push_back(std::move(choice));
  }

  void add_way(Result<Decision> decision) {
    auto same = [&](const Way& way) {
      if (!decision || !way.decision)
        return !decision && !way.decision && decision.error().detail == way.decision.error().detail;
      auto key = [](const Decision& d) {
        return std::tie(d.protocol, d.to, d.authority, d.peers, d.inner_peers);
      };
      return key(*decision) == key(*way.decision) && decision->workload == way.decision->workload;
    };
    if (std::ranges::any_of(out_.ways, same)) return;
    if (out_.ways.size() >= kMostWays) {
      out_.complete = false;
      return;
    }
    std::optional<FarEnd> far;
    if (decision && has_ztunnel(*decision)) far = far_end(snapshot_, rules_, out_.question, *decision);
    out_.ways.push_back({std::move(decision), std::move(far)});
  }

  const config::Snapshot& snapshot_;
  const Rules& rules_;
  Explanation& out_;
  std::deque<uint64_t> draws_;
  std::set<uint64_t> known_;
};

}  // namespace

Result<Question> understand(const config::Snapshot& snapshot, std::string_view network,
                            std::string_view cluster_domain, const std::string& source,
                            const std::string& destination) {
  std::optional<Ip> from = Ip::parse(source);
  WorkloadPtr self = from ? snapshot.workload_by_ip(network, *from) : snapshot.workload_by_uid(source);
  if (!self && !from) self = by_name(snapshot, source);
  if (!self)
    return fail(Errc::not_found, fmt::format("no workload {} (want NAMESPACE/NAME, a uid or an address; "
                                             "`ambientd ctl workloads` lists them)",
                                             quoted(source)));
  if (!from && self->addresses.empty())
    return fail(Errc::not_found, quoted(source) + " has no address to call from");
  Ip at = from ? *from : self->addresses.front();
  Result<SockAddr> target = target_of(snapshot, network, cluster_domain, *self, at, destination);
  if (!target) return fail(std::move(target.error()));
  return Question{std::move(self), at, *target};
}

Explanation explain(const config::Snapshot& snapshot, const Rules& rules, Question question) {
  Explanation out{.question = std::move(question), .uncaptured = {}, .trace = {}, .ways = {}};
  out.uncaptured = why_uncaptured(*out.question.source, out.question.target);
  Explorer(snapshot, rules, out).run();
  return out;
}

}  // namespace ambientd::l4
