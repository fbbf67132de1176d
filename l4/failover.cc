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

constexpr size_t kMostHops = 32;          // that one call fails at before it is given up
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

// Asks for the address of a decision that has none yet. `opened`: the error, where there is one.
[[gnu::noinline]] Task<void> find_address(PodWorker& pod, Captured& call, Report& report, Scope& scope,
                                          Result<StreamPtr>& opened) {
  pod.worker.telemetry.asked_dns(*call.self, call.decision.hostname);
  Result<std::vector<Ip>> addresses = co_await resolve(call.decision.hostname, scope);
  Status found = addresses ? Status{} : fail(std::move(addresses.error()));
  if (found) {
    std::ranges::shuffle(*addresses, pod.worker.random);
    found = complete(call.decision, *addresses, {*call.self, call.from.ip, call.target});
  }
  if (!found) {
    opened = fail(std::move(found.error()));
    co_return;
  }
  report.redirect(flow_of(call));
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

// Many calls may wait here at once: the key is gone by then, and the request is written when it is sent.
[[gnu::noinline]] Task<Result<std::unique_ptr<hbone::Exchange>>> ask_for_tunnel(PodWorker& pod,
                                                                                const Captured& call,
                                                                                Scope& scope, int& status) {
  bool twice = call.decision.protocol == Decision::Protocol::double_hbone;
  hbone::Dialer& dialer = twice ? static_cast<hbone::Dialer&>(pod.double_dialer) : pod;
  auto write = [&pod, &call] {
    bool far = call.decision.protocol == Decision::Protocol::double_hbone;
    return connect_request(call, far ? std::optional(pod.worker.settings.network) : std::nullopt).headers();
  };
  return hbone::open_tunnel(pod.pool, pool_key(call), dialer, write, scope, &status);
}

// `opened`: what the answer makes of the way.
[[gnu::noinline]] void take_answer(PodWorker& pod, const Captured& call, Report& report, const Scope& scope,
                                   Result<std::unique_ptr<hbone::Exchange>>& tunnel,
                                   Result<StreamPtr>& opened) {
  if (tunnel) {
    if (call.decision.protocol == Decision::Protocol::double_hbone) learn(pod, **tunnel, call, report);
    opened = std::move(*tunnel);
    return;
  }
  Error& error = tunnel.error();
  if (error.code == Errc::reset && !scope.closed()) error = {Errc::http2, "h2 failed: " + error.detail};
  opened = fail(std::move(error));
}

[[gnu::noinline]] Task<Result<StreamPtr>> open_plain(PodWorker& pod, SockAddr to, Scope& scope) {
  Result<Fd> fd = co_await dial(pod, to, {}, scope);
  if (!fd) co_return fail(std::move(fd.error()));
  co_return std::make_unique<TcpStream>(std::move(*fd));
}

// How the attempts of one call stand.
struct Attempts {
  explicit Attempts(const Settings& settings)
      : until_ms(Loop::current().now_ms() + settings.failover_ms), most_ms(settings.answer_ms) {}
  std::vector<WorkloadPtr> tried;
  uint64_t until_ms, most_ms;  // for all of them; for the next one
  int status = 0;              // with which the peer refused the last one; 0: it did not
  bool repeated = false;
};

// What follows a failed attempt. Nothing: it was the last.
std::optional<Decision> next_decision(PodWorker& pod, const Captured& call, Attempts& so_far, Errc why) {
  if (!call.decision.workload || so_far.tried.size() >= kMostHops) return {};
  so_far.tried = with_hops(std::move(so_far.tried), call.decision);
  if (std::optional<Decision> next = another(pod, call, so_far.tried)) return next;
  // A stream that a draining connection refused was provably not looked at: the same peer may take a new one.
  if (why != Errc::refused_stream || std::exchange(so_far.repeated, true)) return {};
  return call.decision;
}

// Whether there is another attempt to be made, to which the call then is changed.
[[gnu::noinline]] bool turn_to_next(PodWorker& pod, Captured& call, Report& report, const Scope& scope,
                                    Attempts& so_far, const Error& error) {
  const uint64_t now_ms = Loop::current().now_ms();
  if (scope.closed() || now_ms >= so_far.until_ms || !may_try_again(error.code, so_far.status)) return false;
  std::optional<Decision> next = next_decision(pod, call, so_far, error.code);
  if (!next) return false;
  pod.worker.telemetry.attempt_failed(flow_of(call), error);
  call.decision = std::move(*next);
  report.redirect(flow_of(call));
  so_far.most_ms = so_far.until_ms - now_ms;
  return true;
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

Task<Result<StreamPtr>> open_way(PodWorker& pod, std::unique_ptr<Captured> call, const TcpStream& app,
                                 Report& report, Scope& scope) {
  HangUp hang_up(app, scope);
  Attempts attempts(pod.worker.settings);
  for (;;) {
    Result<StreamPtr> opened;
    {
      Attempt attempt(pod, *call, attempts.tried, attempts.most_ms, scope);
      Scope& inner = attempt.inner.scope;
      if (!call->decision.hostname.empty()) co_await find_address(pod, *call, report, inner, opened);
      bool plain = call->decision.protocol == Decision::Protocol::tcp;
      if (opened && plain) opened = co_await open_plain(pod, call->decision.to, inner);
      if (opened && !plain) {
        Result<std::unique_ptr<hbone::Exchange>> tunnel =
            co_await ask_for_tunnel(pod, *call, inner, attempts.status);
        take_answer(pod, *call, report, inner, tunnel, opened);
      }
      inner.explain(opened);
      scope.explain(opened);
    }
    if (opened || !turn_to_next(pod, *call, report, scope, attempts, opened.error()))
      co_return std::move(opened);
  }
}

}  // namespace ambientd::l4
