// SPDX-License-Identifier: Apache-2.0
#include "l4/outbound.h"

#include <fmt/format.h>

#include "core/tcp_stream.h"
#include "hbone/splice.h"
#include "l4/baggage.h"
#include "l4/failover.h"
#include "l4/outcome.h"
#include "l4/spread.h"

namespace ambientd::l4 {
namespace {

constexpr uint64_t kHangUpEveryMs = 100;  // between looks whether the application is still there

// Ends a scope when the application is gone. It looks at a timer, because before the tunnel stands nobody may
// read from the application (its bytes must wait), and most dials are over before the first look.
class HangUp {
 public:
  HangUp(const TcpStream& app, Scope& scope) : app_(app), scope_(scope), timer_([this] { look(); }) {
    Loop::current().set_timer(timer_, kHangUpEveryMs);
  }

 private:
  void look() {
    if (app_.hung_up()) return scope_.close({Errc::reset, "the application hung up"});
    Loop::current().set_timer(timer_, kHangUpEveryMs);
  }
  const TcpStream& app_;
  Scope& scope_;
  Timer timer_;
};

// The decision is only needed until the way is open: a connection that lives long does not keep it.
[[gnu::noinline]] Task<Result<std::unique_ptr<Stream>>> open_upstream(PodWorker& pod,
                                                                      std::unique_ptr<Captured> call,
                                                                      const TcpStream& app, Report& report,
                                                                      Scope& scope) {
  HangUp hang_up(app, scope);
  co_return co_await open_way(pod, *call, report, scope);
}

Task<Status> relay_call(PodWorker& pod, TcpStream& app, std::unique_ptr<Captured> call, Report& report,
                        Scope& scope) {
  Result<std::unique_ptr<Stream>> upstream = co_await open_upstream(pod, std::move(call), app, report, scope);
  if (!upstream) co_return fail(scope.explain(std::move(upstream.error())));
  report.open();
  scope.add(app);
  scope.add(**upstream);
  Status ended = co_await hbone::splice(app, **upstream, report.bytes.a_to_b, report.bytes.b_to_a);
  co_return relay_outcome(scope, std::move(ended));
}

Task<void> carry(PodWorker* pod, Fd fd, std::unique_ptr<Captured> call) {
  Story story(pod->worker);
  Telemetry::Socket socket = pod->worker.telemetry.accepted(Direction::outbound);
  TcpStream app(std::move(fd));
  Scope scope;
  Report report(pod->worker.telemetry, flow_of(*call), false);
  Live live(pod->worker, *pod, scope, report);
  live.target = call->target;
  Status ended = co_await relay_call(*pod, app, std::move(call), report, scope);
  report.end(ended);
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

Result<Accepted> addresses(const PodWorker& pod, int fd) {
  std::optional<SockAddr> from = peer_address(fd), local = local_address(fd),
                          target = original_destination(fd);
  if (!from || !local || !target) return fail(Errc::reset, "the application hung up");
  if (calls_ourselves(*target, *local)) {
    report_refused(pod, Direction::outbound, *from, *target, {Errc::self_call, {}});
    return fail(Errc::self_call, {});
  }
  return Accepted{*from, *target};
}

void carry_on(Worker& worker, size_t place, Fd app, Captured call) {
  std::string name = "call to " + call.target.str();
  worker.loop.spawn(std::move(name), carry_call(worker.pods[place].get(), std::move(app), std::move(call)));
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

hbone::Connect connect_request(const Captured& call) {
  const config::ServicePtr& service = call.decision.service;
  return {.authority = call.decision.authority,
          .baggage = baggage_of(*call.self).str(),
          .forwarded = hbone::forwarded_for(call.from, service ? service->hostname : std::string()),
          .traceparent = hbone::new_traceparent(),
          .forwarded_network = {}};
}

Task<void> take_call(PodWorker* pod, Fd app) {
  Story story(pod->worker);
  Result<Accepted> accepted = addresses(*pod, app.get());
  if (!accepted) co_return;
  Result<config::WorkloadPtr> self = co_await own_workload(*pod);
  if (!self) {
    report_refused(*pod, Direction::outbound, accepted->from, accepted->target, self.error());
    co_return;
  }
  Worker& worker = pod->worker;
  Call call{**self, accepted->from.ip, accepted->target};
  Result<Decision> decision = decide(*worker.snapshot, rules_of(worker.settings), call, worker.random());
  count_missing_waypoint(worker, call, decision);
  if (!decision) {
    report_refused(*pod, Direction::outbound, accepted->from, accepted->target, decision.error());
    co_return;
  }
  hand_over(*pod, std::move(app), {*self, accepted->from, accepted->target, std::move(*decision)});
}

Task<void> carry_call(PodWorker* pod, Fd app, Captured call) {
  return carry(pod, std::move(app), std::make_unique<Captured>(std::move(call)));
}

}  // namespace ambientd::l4
