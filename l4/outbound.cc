// SPDX-License-Identifier: Apache-2.0
#include "l4/outbound.h"

#include "core/tcp_stream.h"
#include "hbone/splice.h"
#include "l4/baggage.h"
#include "l4/failover.h"
#include "l4/outcome.h"
#include "l4/ports.h"
#include "l4/spread.h"

namespace ambientd::l4 {
namespace {

Task<void> carry(PodWorker* pod, Fd fd, std::unique_ptr<Captured> call) {
  Story story(pod->worker);
  Telemetry::Socket socket = pod->worker.telemetry.accepted(Direction::outbound);
  TcpStream app(std::move(fd));
  Scope scope;
  Report report(pod->worker.telemetry, flow_of(*call), false);
  Live live(pod->worker, *pod, scope, report);
  live.target = call->target;
  std::unique_ptr<Stream> upstream;
  {
    Result<std::unique_ptr<Stream>> opened = co_await open_way(*pod, std::move(call), app, report, scope);
    if (!opened) {
      report.fail(opened.error());
      co_return;
    }
    upstream = std::move(*opened);
  }
  report.open();
  scope.add(app);
  scope.add(*upstream);
  Pumps pumps = hbone::splice(app, *upstream, report.bytes.a_to_b, report.bytes.b_to_a);
  while (!pumps.ended()) co_await pumps;
  live.end(pumps.status());
}

void count_missing_waypoint(Worker& worker, const Call& call, const Result<Decision>& decision) {
  bool refused = !decision && decision.error().code == Errc::unknown_waypoint;
  bool passed = decision && !decision->skipped_waypoint.empty();
  if (!refused && !passed) return;
  const config::Snapshot& snapshot = *worker.snapshot;
  const std::string& network = worker.settings.network;
  config::ServicePtr service;
  if (!snapshot.workload_by_ip(network, call.target.ip))
    service = snapshot.service_by_vip(network, call.target.ip, call.self.ns);
  worker.telemetry.waypoint_missing(service ? service->hostname : "",
                                    passed ? decision->skipped_waypoint : "", passed);
}

struct Accepted {
  SockAddr from, target;
};

Result<Accepted> addresses(const PodWorker& pod, int fd, const SockAddr& from) {
  std::optional<SockAddr> target = original_destination(fd);
  // Whom nothing redirected dialled us: then, and only then, our own address matters.
  std::optional<SockAddr> local = target && is_own_port(target->port) ? local_address(fd) : SockAddr{};
  if (!local || !target) return fail(Errc::reset, "the application hung up");
  if (calls_ourselves(*target, *local)) {
    report_refused(pod, Direction::outbound, from, *target, {Errc::self_call, {}});
    return fail(Errc::self_call, {});
  }
  return Accepted{from, *target};
}

void carry_on(Worker& worker, size_t place, Fd app, Captured call) {
  SockAddr target = call.target;
  worker.loop.spawn({"call to", target},
                    carry_call(worker.pods[place].get(), std::move(app), std::move(call)));
}

void hand_over(PodWorker& pod, Fd app, Captured call) {
  Worker& here = pod.worker;
  size_t place = 0;
  while (here.pods[place].get() != &pod) ++place;
  Worker& carrier = carrier_of(call, here.all);
  if (&carrier == &here) return carry_on(here, place, std::move(app), std::move(call));
  carrier.loop.post([&carrier, place, app = std::move(app), call = std::move(call)]() mutable {
    carry_on(carrier, place, std::move(app), std::move(call));
  });
}

// Decides over a call of the pod's and hands it to who carries it.
void dispatch(PodWorker& pod, Fd app, const Accepted& accepted, config::WorkloadPtr self) {
  Worker& worker = pod.worker;
  Call call{*self, accepted.from.ip, accepted.target};
  Result<Decision> decision = decide(*worker.snapshot, rules_of(worker.settings), call, worker.random());
  count_missing_waypoint(worker, call, decision);
  if (!decision)
    return report_refused(pod, Direction::outbound, accepted.from, accepted.target, decision.error());
  hand_over(pod, std::move(app), {std::move(self), accepted.from, accepted.target, std::move(*decision)});
}

// The pod is not in the mesh yet, as far as we know.
Task<void> take_late_call(PodWorker* pod, Fd app, Accepted accepted) {
  Story story(pod->worker);
  Result<config::WorkloadPtr> self = co_await own_workload(*pod);
  if (self) {
    dispatch(*pod, std::move(app), accepted, std::move(*self));
  } else {
    report_refused(*pod, Direction::outbound, accepted.from, accepted.target, self.error());
  }
}

}  // namespace

Worker& carrier_of(const Captured& call, const std::vector<Worker*>& workers) {
  size_t way = std::hash<SockAddr>{}(call.decision.to) * 31 + std::hash<Identity>{}(call.self->identity());
  Carriers carriers = carriers_of(way, workers.size());
  Worker &owner = *workers[carriers.owner], &second = *workers[carriers.second];
  return relieves(owner.loop.busy(), second.loop.busy()) ? second : owner;
}

hbone::PoolKey pool_key(const Captured& call) {
  const Decision& decision = call.decision;
  if (decision.protocol != Decision::Protocol::double_hbone)
    return {call.self->identity(), decision.peers, decision.to, call.from.ip};
  return {call.self->identity(), decision.inner_peers, decision.to,
          call.from.ip,          decision.peers,       decision.authority};
}

hbone::Connect connect_request(const Captured& call, std::optional<std::string> network) {
  const config::ServicePtr& service = call.decision.service;
  return {.authority = call.decision.authority,
          .baggage = baggage_of(*call.self).str(),
          .forwarded = hbone::forwarded_for(call.from, service ? service->hostname : std::string()),
          .traceparent = hbone::new_traceparent(),
          .forwarded_network = std::move(network)};
}

void take_call(PodWorker& pod, Fd app, const SockAddr& from) {
  Result<Accepted> accepted = addresses(pod, app.get(), from);
  if (!accepted) return;
  if (pod.self) return dispatch(pod, std::move(app), *accepted, pod.self);
  StoryName name("captured call to", accepted->target);
  pod.worker.loop.spawn(std::move(name), take_late_call(&pod, std::move(app), *accepted));
}

Task<void> carry_call(PodWorker* pod, Fd app, Captured call) {
  return carry(pod, std::move(app), std::make_unique<Captured>(std::move(call)));
}

}  // namespace ambientd::l4
