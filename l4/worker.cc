// SPDX-License-Identifier: Apache-2.0
#include "l4/worker.h"

#include <fmt/format.h>

#include "core/deadline.h"
#include "core/log.h"
#include "core/tls.h"
#include "l4/outcome.h"
#include "l4/validate.h"
#include "l4/verdict_log.h"

namespace ambientd::l4 {
namespace {

constexpr uint64_t kCountEveryMs = 1000;  // bytes of long connections reach the metrics

// Certificates answer on any thread, perhaps after the one who asked has given up.
struct Asked {
  Asked() : arrived("certificate") {}
  Event arrived;
  std::optional<Result<WorkloadCertificatePtr>> answer;
};

struct CertificateWait final : Closable {
  explicit CertificateWait(std::shared_ptr<Asked> of) : asked(std::move(of)) {}
  void close(Errc why) override {
    closed = why;
    asked->arrived.set();
  }
  std::shared_ptr<Asked> asked;
  std::optional<Errc> closed;
};

}  // namespace

// Somebody who waits for a snapshot that knows a pod.
struct Worker::Wait final : Closable, Listed<Wait> {
  void close(Errc) override { published.set(); }
  Event published{"own workload"};
};

PodWorker::PodWorker(Worker& owner, const Pod& of)
    : worker(owner), pod(of), pool(owner.settings.pool), double_dialer(*this) {}

Result<Fd> PodWorker::socket(bool v6) {
  Result<Fd> fd = pod.socket(v6);
  if (!fd) return fd;
  set_keepalive(fd->get(), worker.settings.keepalive);
  return fd;
}

Task<Result<WorkloadCertificatePtr>> PodWorker::certificate(Identity identity, Scope& scope) {
  if (WorkloadCertificatePtr current = worker.certificates.current(identity)) co_return std::move(current);
  auto asked = std::make_shared<Asked>();
  CertificateWait wait(asked);
  scope.add(wait);
  Loop* loop = &worker.loop;
  worker.certificates.get(identity, [loop, asked](Result<WorkloadCertificatePtr> answer) {
    loop->post([asked, answer = std::move(answer)]() mutable {
      asked->answer = std::move(answer);
      asked->arrived.set();
    });
  });
  co_await asked->arrived;
  if (asked->answer) co_return std::move(*asked->answer);
  co_return fail(scope.explain({wait.closed.value_or(Errc::closed), "no certificate for " + identity.uri()}));
}

log::Subject subject_of(const PodWorker& pod) { return {pod.pod.spec().ns, pod.pod.spec().name}; }

Live::Live(Worker& worker, const PodWorker& of, Scope& ends_by, Report& as,
           const std::optional<Identity>* judged)
    : pod(of), scope(ends_by), report(as), identity(judged) {
  pod.pod.take_seat();
  worker.live.push_back(*this);
}

Live::~Live() { pod.pod.leave_seat(); }

void Live::end(const Status& relayed) { report.end(relay_outcome(scope, relayed)); }

Handshake::Handshake(Worker& of) : worker(of) {
  if (worker.handshakes >= worker.settings.handshakes && !worker.unproved.empty()) {
    Handshake& oldest = worker.unproved.front();
    oldest.unlink();
    oldest.scope.close(
        {Errc::overloaded, "too many HBONE connections at once that have not finished their handshake"});
  }
  worker.unproved.push_back(*this);
  ++worker.handshakes;
}

Handshake::~Handshake() { --worker.handshakes; }

Story::Story(Worker& worker) : worker_(worker) { ++worker_.stories; }
Story::~Story() { --worker_.stories; }

Worker::Worker(Loop& on, const Settings& with, Certificates& from, TrafficMetrics& metrics, size_t number)
    : loop(on), settings(with), certificates(from), telemetry(metrics, number), counting_([this] {
        count();
      }) {}

void Worker::count() {
  live.each([](Live& each) { each.report.count(); });
  telemetry.sweep();
  loop.set_timer(counting_, kCountEveryMs);
}

void Worker::take(config::SnapshotPtr next) {
  if (!snapshot) loop.set_timer(counting_, kCountEveryMs);
  config::SnapshotPtr before = std::exchange(snapshot, std::move(next));
  for (std::unique_ptr<PodWorker>& each : pods) {
    const PodSpec& spec = each->pod.spec();
    each->self = snapshot->workload_by_name(spec.name, spec.ns, spec.sa);
  }
  waiting.each([](Wait& each) { each.published.set(); });
  judge_again();
  if (before) evict(*before);
}

void Worker::judge_again() {
  live.each([this](Live& each) {
    if (!each.identity) return;
    policy::Peer peer = each.peer();
    const config::WorkloadPtr& self = each.pod.self;
    if (!self) return each.scope.close({Errc::draining, "the pod is no longer in the mesh"});
    if (judge(*this, *self, peer)) return;
    log::info("policy", "connection closed because it is no longer allowed after a policy update",
              {{"source", peer.source.str()}, {"destination", peer.destination.str()}}, subject_of(each.pod));
    each.scope.close({Errc::policy_changed, "connection closed due to policy change"});
  });
}

// Who has an address now may be another pod than whom our connections there were made to, and a pod may be
// somebody else than when its peers verified it (ztunnel#1637). What is open may finish; new tunnels find out
// for themselves.
void Worker::evict(const config::Snapshot& before) {
  auto is = [](const PodWorker& pod, const Identity& who) { return pod.self && pod.self->identity() == who; };
  auto moved = [&](const Ip& ip) {
    config::WorkloadPtr was = before.workload_by_ip(settings.network, ip);
    if (!was) return false;  // a gateway, or whoever answers there
    config::WorkloadPtr now = snapshot->workload_by_ip(settings.network, ip);
    return !now || now->uid != was->uid || now->identity() != was->identity();
  };
  for (std::unique_ptr<PodWorker>& each : pods) {
    each->pool.evict([&](const hbone::PoolKey& key) { return !is(*each, key.source) || moved(key.to.ip); });
  }
  incoming.each([&](Incoming& each) {
    if (!is(each.pod, each.self)) each.session.drain();
  });
}

void Worker::reconsider() {
  for (std::unique_ptr<PodWorker>& each : pods) {
    if (!each->self) continue;
    WorkloadCertificatePtr now = certificates.current(each->self->identity());
    if (now) each->pool.reconsider(*now);
  }
  incoming.each([this](Incoming& each) {
    WorkloadCertificatePtr now = certificates.current(each.self);
    if (now && !now->trusts(each.root)) each.session.drain();
  });
}

void Worker::revoke() {
  for (std::unique_ptr<PodWorker>& each : pods) each->pool.revoke();
  incoming.each([](Incoming& each) {
    if (!check_revoked(each.tls)) each.session.dismiss(Errc::revoked);
  });
}

void Worker::drain() {
  draining = true;
  incoming.each([](Incoming& each) { each.session.drain(); });
  for (std::unique_ptr<PodWorker>& each : pods) each->pool.drain();
}

void Worker::cut() {
  const Error why{Errc::draining, "connection closed due to connection drain"};
  unproved.each([&why](Handshake& each) { each.scope.close(why); });
  live.each([&why](Live& each) { each.scope.close(why); });
  incoming.each([](Incoming& each) { each.session.close(Errc::draining); });
  for (std::unique_ptr<PodWorker>& each : pods) each->pool.close();
}

Task<Result<config::WorkloadPtr>> own_workload(PodWorker& pod) {
  if (pod.self) co_return pod.self;
  const PodSpec& spec = pod.pod.spec();
  Error late{Errc::not_found, fmt::format("failed to fetch information about local workload: {}.{} ({})",
                                          spec.sa, spec.ns, spec.name)};
  Scope scope;
  Deadline deadline(scope, pod.worker.settings.self_wait_ms, late);
  Worker::Wait wait;
  scope.add(wait);
  pod.worker.waiting.push_back(wait);
  while (!pod.self && !scope.closed()) {
    co_await wait.published;
    wait.published.reset();
  }
  if (pod.self) co_return pod.self;
  co_return fail(std::move(late));
}

Status judge(const Worker& worker, const config::Workload& self, const policy::Peer& peer) {
  log::Level level = worker.settings.log_authorization ? log::Level::info : log::Level::debug;
  bool logged = logs_verdicts(level, self);
  std::vector<std::string> unknown;
  std::vector<config::AuthorizationPtr> policies = worker.snapshot->policies_for(self, &unknown);
  std::vector<policy::DryRun> dry_runs;
  policy::Verdict verdict = policy::judge(policies, unknown, peer, logged ? &dry_runs : nullptr);
  if (logged) log_verdict(level, self, peer, verdict, dry_runs);
  if (verdict.allow) return {};
  return fail(Errc::denied, std::move(verdict.reason));
}

void report_refused(const PodWorker& pod, Direction direction, const SockAddr& from, const SockAddr& to,
                    const Error& error, const std::optional<Identity>& proved) {
  const config::SnapshotPtr& snapshot = pod.worker.snapshot;
  const std::string& network = pod.worker.settings.network;
  Flow flow{.direction = direction, .from = from, .to = to};
  if (direction == Direction::outbound) {
    flow.source = pod.self;
    if (snapshot) flow.service = snapshot->service_by_vip(network, to.ip, pod.pod.spec().ns);
  } else {
    flow.destination = pod.self;
    if (snapshot) flow.source = source_workload(*snapshot, network, from.ip, {});
    flow.mutual_tls = proved.has_value();
    if (proved) flow.source_identity = proved->uri();
  }
  report_refused(pod.worker.telemetry, flow, error);
}

Task<Result<Fd>> dial(PodWorker& pod, SockAddr to, std::optional<Ip> source, Scope& scope) {
  Deadline deadline(scope, pod.worker.settings.connect_ms, [to] {
    return Error{Errc::timed_out, fmt::format("connect {}: connection timed out", to.str())};
  });
  Result<Fd> fd = pod.socket(to.ip.v6);
  if (!fd) co_return fd;
  if (source) set_congestion_control(fd->get(), pod.worker.settings.app_congestion_control);
  if (source && pod.transparent && source->v6 == to.ip.v6 && *source != to.ip) {
    Status bound = set_transparent(fd->get(), to.ip.v6);
    if (bound) bound = bind_source(fd->get(), *source);
    if (!bound && pod.worker.settings.original_source == OriginalSource::require)
      co_return fail(std::move(bound.error()));
    if (!bound)
      log::warn("socket", "the application will not see the client's address",
                {{"error", bound.error().detail}}, subject_of(pod));
  }
  co_return co_await connect(std::move(*fd), to, scope);
}

}  // namespace ambientd::l4
