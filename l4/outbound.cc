// SPDX-License-Identifier: Apache-2.0
#include "l4/outbound.h"

#include <fmt/format.h>

#include "core/deadline.h"
#include "core/tcp_stream.h"
#include "hbone/splice.h"
#include "hbone/tunnel.h"
#include "l4/baggage.h"
#include "l4/outcome.h"

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

Flow flow_of(const Captured& call) {
  const Decision& decision = call.decision;
  Flow flow{.direction = Direction::outbound,
            .source = call.self,
            .destination = decision.workload,
            .service = decision.service,
            .from = call.from,
            .to = decision.to,
            .authority = decision.authority};
  if (decision.protocol == Decision::Protocol::tcp) return flow;
  flow.mutual_tls = true;
  flow.source_identity = call.self->identity().uri();
  flow.target_identity = decision.workload->identity().uri();
  return flow;
}

// A CONNECT that crossed the peer's GOAWAY was provably not processed: it is sent once more, on a connection
// of its own making.
Task<Result<std::unique_ptr<hbone::Exchange>>> open_tunnel(PodWorker& pod, const Captured& call,
                                                           const hbone::Connect& request, Scope& scope) {
  Result<std::unique_ptr<hbone::Exchange>> tunnel =
      co_await hbone::open_tunnel(pod.pool, pool_key(call), pod, request, scope);
  if (tunnel || tunnel.error().code != Errc::refused_stream || scope.closed()) co_return tunnel;
  co_return co_await hbone::open_tunnel(pod.pool, pool_key(call), pod, request, scope);
}

Task<Result<std::unique_ptr<Stream>>> open_hbone(PodWorker& pod, const Captured& call, Scope& scope) {
  hbone::Connect request = connect_request(call);
  Deadline deadline(scope, pod.worker.settings.answer_ms,
                    {Errc::timed_out, fmt::format("{} did not answer the CONNECT to {} in time",
                                                  call.decision.to.str(), request.authority)});
  Result<std::unique_ptr<hbone::Exchange>> tunnel = co_await open_tunnel(pod, call, request, scope);
  if (tunnel) co_return std::unique_ptr<Stream>(std::move(*tunnel));
  Error error = std::move(tunnel.error());
  if (error.code == Errc::reset && !scope.closed()) error = {Errc::http2, "h2 failed: " + error.detail};
  co_return fail(std::move(error));
}

Task<Result<std::unique_ptr<Stream>>> open_plain(PodWorker& pod, const Captured& call, Scope& scope) {
  Result<Fd> fd = co_await dial(pod, call.decision.to, {}, scope);
  if (!fd) co_return fail(std::move(fd.error()));
  co_return std::make_unique<TcpStream>(std::move(*fd));
}

[[gnu::noinline]] Task<Result<std::unique_ptr<Stream>>> open_upstream(PodWorker& pod, const Captured& call,
                                                                      const TcpStream& app, Scope& scope) {
  HangUp hang_up(app, scope);
  if (call.decision.protocol == Decision::Protocol::hbone) co_return co_await open_hbone(pod, call, scope);
  co_return co_await open_plain(pod, call, scope);
}

Task<Status> relay_call(PodWorker& pod, TcpStream& app, const Captured& call, Scope& scope, Relayed& bytes) {
  Result<std::unique_ptr<Stream>> upstream = co_await open_upstream(pod, call, app, scope);
  if (!upstream) co_return fail(scope.explain(std::move(upstream.error())));
  scope.add(app);
  scope.add(**upstream);
  Status ended = co_await hbone::splice(app, **upstream, bytes.a_to_b, bytes.b_to_a);
  if (scope.closed()) co_return fail(*scope.why());
  if (!ended && !is_clean_end(ended.error().code)) co_return ended;
  co_return Status{};
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
  Worker& owner = *here.all[owner_of(call, here.all.size())];
  if (&owner == &here) return carry_on(here, place, std::move(app), std::move(call));
  owner.loop.post([&owner, place, app = std::move(app), call = std::move(call)]() mutable {
    carry_on(owner, place, std::move(app), std::move(call));
  });
}

}  // namespace

size_t owner_of(const Captured& call, size_t workers) {
  size_t hash = std::hash<SockAddr>{}(call.decision.to) * 31 + std::hash<Identity>{}(call.self->identity());
  return hash % workers;
}

hbone::PoolKey pool_key(const Captured& call) {
  return {call.self->identity(), call.decision.peers, call.decision.to, call.from.ip};
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
  Result<Decision> decision = decide(*worker.snapshot, worker.settings.network, call, worker.random());
  if (!decision) {
    report_refused(*pod, Direction::outbound, accepted->from, accepted->target, decision.error());
    co_return;
  }
  hand_over(*pod, std::move(app), {*self, accepted->from, accepted->target, std::move(*decision)});
}

Task<void> carry_call(PodWorker* pod, Fd fd, Captured call) {
  Story story(pod->worker);
  Telemetry::Socket socket = pod->worker.telemetry.accepted(Direction::outbound);
  TcpStream app(std::move(fd));
  Scope scope;
  Report report(pod->worker.telemetry, flow_of(call));
  Live live(pod->worker, *pod, scope, report);
  live.target = call.target;
  Status ended = co_await relay_call(*pod, app, call, scope, report.bytes);
  report.end(ended);
}

}  // namespace ambientd::l4
