// SPDX-License-Identifier: Apache-2.0
#include "l4/failover.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/deadline.h"
#include "core/resolve.h"
#include "hbone/tunnel.h"
#include "l4/outcome.h"

namespace ambientd::l4 {
namespace {

using config::WorkloadPtr;
using StreamPtr = std::unique_ptr<Stream>;

constexpr size_t kMostHops = 32;  // that one call fails at before it is given up

// Where else a call may go. Nothing: nowhere, or to nobody the mesh knows.
std::optional<Decision> another(PodWorker& pod, const Captured& call, config::Tried tried) {
  Worker& worker = pod.worker;
  Call again{*call.self, call.from.ip, call.target};
  Result<Decision> next = decide(*worker.snapshot, rules_of(worker.settings), again, worker.random(), tried);
  if (!next || !next->workload) return {};
  return std::move(*next);
}

std::vector<WorkloadPtr> with_hops(std::vector<WorkloadPtr> tried, const Decision& decision) {
  std::ranges::move(hops(decision), std::back_inserter(tried));
  return tried;
}

// One attempt's time: at first a short one, and when that is over a longer one if there is nobody else to
// try.
class Attempt {
 public:
  Attempt(PodWorker& pod, const Captured& call, const std::vector<WorkloadPtr>& tried, uint64_t most_ms,
          Scope& outer)
      : inner(outer), pod_(pod), call_(call), tried_(tried), last_ms_(now() + most_ms), timer_([this] {
          look();
        }) {
    Loop::current().set_timer(timer_, std::min(most_ms, pod.worker.settings.try_ms));
  }

  InnerScope inner;

 private:
  static uint64_t now() { return Loop::current().now_ms(); }
  void look() {
    uint64_t left = last_ms_ > now() ? last_ms_ - now() : 0;
    bool other = left > 0 && another(pod_, call_, with_hops(tried_, call_.decision));
    if (left > 0 && !other) return Loop::current().set_timer(timer_, left);
    const Decision& decision = call_.decision;
    std::string what = decision.authority.empty() ? "" : " the CONNECT to " + decision.authority;
    inner.scope.close({Errc::timed_out, fmt::format("{} did not answer{} in time", decision.to.str(), what)});
  }

  PodWorker& pod_;
  const Captured& call_;
  const std::vector<WorkloadPtr>& tried_;
  uint64_t last_ms_;
  Timer timer_;
};

Task<Status> find_address(PodWorker& pod, Captured& call, Scope& scope) {
  pod.worker.telemetry.asked_dns(*call.self, call.decision.hostname);
  Result<std::vector<Ip>> addresses = co_await resolve(call.decision.hostname, scope);
  if (!addresses) co_return fail(std::move(addresses.error()));
  std::ranges::shuffle(*addresses, pod.worker.random);
  co_return complete(call.decision, *addresses, {*call.self, call.from.ip, call.target});
}

// What the far end of a double HBONE says of itself replaces what was known of its network.
void learn(const PodWorker& pod, const hbone::Exchange& tunnel, const Captured& call, Report& report) {
  Flow flow = flow_of(call);
  std::optional<std::string_view> baggage = hbone::find(tunnel.head(), "baggage");
  if (baggage && !baggage->empty()) {
    flow.destination = nullptr;
    flow.baggage = hbone::Baggage::parse(*baggage);
  }
  if (std::optional<Identity> peer = pod.pool.peer(tunnel)) flow.target_identity = peer->uri();
  report.redirect(std::move(flow));
}

Task<Result<StreamPtr>> open_hbone(PodWorker& pod, Captured& call, Report& report, Scope& scope,
                                   int& status) {
  bool twice = call.decision.protocol == Decision::Protocol::double_hbone;
  hbone::Dialer& dialer = twice ? static_cast<hbone::Dialer&>(pod.double_dialer) : pod;
  hbone::Connect request = connect_request(call);
  if (twice) request.forwarded_network = pod.worker.settings.network;
  Result<std::unique_ptr<hbone::Exchange>> tunnel =
      co_await hbone::open_tunnel(pod.pool, pool_key(call), dialer, request, scope, &status);
  if (tunnel) {
    if (twice) learn(pod, **tunnel, call, report);
    co_return StreamPtr(std::move(*tunnel));
  }
  Error error = std::move(tunnel.error());
  if (error.code == Errc::reset && !scope.closed()) error = {Errc::http2, "h2 failed: " + error.detail};
  co_return fail(std::move(error));
}

Task<Result<StreamPtr>> open_once(PodWorker& pod, Captured& call, Report& report, Scope& scope, int& status) {
  if (!call.decision.hostname.empty()) {
    Status found = co_await find_address(pod, call, scope);
    if (!found) co_return fail(std::move(found.error()));
    report.redirect(flow_of(call));
  }
  if (call.decision.protocol != Decision::Protocol::tcp)
    co_return co_await open_hbone(pod, call, report, scope, status);
  Result<Fd> fd = co_await dial(pod, call.decision.to, {}, scope);
  if (!fd) co_return fail(std::move(fd.error()));
  co_return std::make_unique<TcpStream>(std::move(*fd));
}

// What follows a failed attempt. Nothing: it was the last.
std::optional<Decision> next_decision(PodWorker& pod, const Captured& call, std::vector<WorkloadPtr>& tried,
                                      Errc why, bool& repeated) {
  if (!call.decision.workload || tried.size() >= kMostHops) return {};
  tried = with_hops(std::move(tried), call.decision);
  if (std::optional<Decision> next = another(pod, call, tried)) return next;
  // A stream that a draining connection refused was provably not looked at: the same peer may take a new one.
  if (why != Errc::refused_stream || std::exchange(repeated, true)) return {};
  return call.decision;
}

}  // namespace

Rules rules_of(const Settings& settings) { return {settings.network, settings.missing_waypoint}; }

bool may_try_again(Errc code, int status) {
  switch (code) {
    case Errc::eof:
    case Errc::reset:
    case Errc::connect_refused:
    case Errc::connect_failed:
    case Errc::timed_out:
    case Errc::hbone_timed_out:
    case Errc::tls:
    case Errc::identity:
    case Errc::revoked:
    case Errc::http2:
    case Errc::refused_stream:
    case Errc::no_destination:  // a hostname that does not resolve
      return true;
    case Errc::http_status:
      return status == 503;
    case Errc::closed:
    case Errc::bad_request:
    case Errc::ip_mismatch:
    case Errc::denied:
    case Errc::policy_changed:
    case Errc::not_found:
    case Errc::unknown_waypoint:
    case Errc::no_healthy_upstream:
    case Errc::no_route:
    case Errc::self_call:
    case Errc::overloaded:
    case Errc::draining:
    case Errc::invalid:
    case Errc::io:
      return false;
  }
  return false;
}

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

Task<Result<StreamPtr>> open_way(PodWorker& pod, Captured& call, Report& report, Scope& scope) {
  const Settings& settings = pod.worker.settings;
  const uint64_t until_ms = Loop::current().now_ms() + settings.failover_ms;
  std::vector<WorkloadPtr> tried;
  bool repeated = false;
  for (uint64_t most_ms = settings.answer_ms;;) {
    int status = 0;
    Error error;
    {
      Attempt attempt(pod, call, tried, most_ms, scope);
      Result<StreamPtr> opened = co_await open_once(pod, call, report, attempt.inner.scope, status);
      if (opened) co_return opened;
      error = scope.explain(attempt.inner.scope.explain(std::move(opened.error())));
    }
    const uint64_t now_ms = Loop::current().now_ms();
    if (scope.closed() || now_ms >= until_ms || !may_try_again(error.code, status)) co_return fail(error);
    std::optional<Decision> next = next_decision(pod, call, tried, error.code, repeated);
    if (!next) co_return fail(error);
    pod.worker.telemetry.attempt_failed(flow_of(call), error);
    call.decision = std::move(*next);
    report.redirect(flow_of(call));
    most_ms = until_ms - now_ms;
  }
}

}  // namespace ambientd::l4
