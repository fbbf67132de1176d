// SPDX-License-Identifier: Apache-2.0
#include "l4/plaintext.h"

#include "core/relay.h"
#include "core/tcp_stream.h"
#include "l4/outcome.h"
#include "l4/ports.h"
#include "l4/validate.h"

namespace ambientd::l4 {
namespace {

Flow flow_of(const PodWorker& pod, const SockAddr& from, const SockAddr& target) {
  const config::Snapshot& snapshot = *pod.worker.snapshot;
  return {.direction = Direction::inbound,
          .source = source_workload(snapshot, pod.worker.settings.network, from.ip, {}),
          .destination = pod.self,
          .service = meant_service(snapshot, *pod.self, "", target.port),
          .from = from,
          .to = target};
}

Task<Status> carry(PodWorker& pod, TcpStream& client, const config::Workload& self, Scope& scope,
                   Live& live) {
  Status allowed = judge(pod.worker, self, live.peer());
  if (!allowed) co_return allowed;
  Result<Fd> fd = co_await dial(pod, live.target, live.report.from().ip, scope);
  if (!fd) co_return fail(scope.explain(std::move(fd.error())));
  TcpStream app(std::move(*fd));
  scope.add(client);
  scope.add(app);
  Status ended = co_await relay(client, app, live.report.bytes);
  co_return relay_outcome(scope, std::move(ended));
}

}  // namespace

Task<void> serve_plaintext(PodWorker* pod, Fd fd) {
  Worker& worker = pod->worker;
  Story story(worker);
  Telemetry::Socket socket = worker.telemetry.accepted(Direction::inbound);
  std::optional<SockAddr> from = peer_address(fd.get()), target = original_destination(fd.get());
  if (!from || !target) co_return;
  if (is_own_port(target->port)) {
    report_refused(*pod, Direction::inbound, *from, *target, {Errc::self_call, {}});
    co_return;
  }
  Result<config::WorkloadPtr> self = co_await own_workload(*pod);
  if (!self) {
    report_refused(*pod, Direction::inbound, *from, *target, self.error());
    co_return;
  }
  TcpStream client(std::move(fd));
  Scope scope;
  Report report(worker.telemetry, flow_of(*pod, *from, *target));
  static const std::optional<Identity> kNobody;  // nothing proves who sends plaintext
  Live live(worker, *pod, scope, report, &kNobody);
  live.target = *target;
  Status ended = co_await carry(*pod, client, **self, scope, live);
  report.end(ended);
}

}  // namespace ambientd::l4
