// SPDX-License-Identifier: Apache-2.0
#include "l7/tcp_proxy.h"

#include "core/relay.h"
#include "l7/record.h"

namespace ambientd::l7 {
namespace {

// The line and the counts of one connection.
class Account {
 public:
  Account(Worker& worker, const Tunnel& tunnel) : worker_(worker), tunnel_(tunnel) {
    log.start = std::chrono::system_clock::now();
    log.downstream_local = tunnel.target.destination;
    log.downstream_remote = tunnel.peer;
    log.flags = "-";
    if (tunnel.target.service)
      log.cluster =
          cluster_name(true, tunnel.target.destination.port, false, tunnel.target.service->hostname);
  }
  Account(const Account&) = delete;

  void planned(const Plan& plan) {
    endpoint_ = plan.endpoint;
    log.upstream = plan.to.address;
    log.upstream_hbone = plan.to.identity.has_value();
  }
  // The connection counts from here, with the flags it has so far.
  void open() {
    metrics_ = worker_.telemetry.open(tunnel_.caller, {endpoint_, tunnel_.target.service, log.flags});
  }
  void refused(Cause cause, const Note& note) {
    LocalReply reply = local_reply(cause, {}, note);
    log.flags = reply.flags;
    log.details = reply.details;
    log.transport_failure = note.transport_failure;
    open();
  }
  void tell() {
    log.duration = std::chrono::duration_cast<std::chrono::milliseconds>(Record::Clock::now() - start_);
    log.bytes_received = bytes.a_to_b;
    log.bytes_sent = bytes.b_to_a;
    metrics_.received.add(bytes.a_to_b);
    metrics_.sent.add(bytes.b_to_a);
    metrics_.closed.add();
    if (worker_.access_log) worker_.access_log(text_line(log));
  }

  RequestLog log;
  Relayed bytes;

 private:
  Worker& worker_;
  const Tunnel& tunnel_;
  Record::Clock::time_point start_ = Record::Clock::now();
  config::WorkloadPtr endpoint_;
  ConnectionMetrics metrics_;
};

std::expected<Plan, Refusal> plan(Worker& worker, const Tunnel& tunnel) {
  if (!worker.view) return std::unexpected(Refusal{Cause::no_healthy_upstream, {}});
  return plan_connection(*worker.view, tunnel, worker.roll(),
                         [&](const config::Workload& endpoint) { return worker.load_of(endpoint); });
}

}  // namespace

Task<void> proxy_tcp(Worker& worker, Tunnel tunnel, Stream& client) {
  Account account(worker, tunnel);
  std::expected<Plan, Refusal> planned = plan(worker, tunnel);
  if (!planned) {
    account.refused(planned.error().cause, planned.error().note);
    client.close(Errc::denied);
    account.tell();
    co_return;
  }
  account.planned(*planned);
  Busy busy(worker, planned->endpoint);
  Scope scope;
  scope.add(client);
  Result<std::unique_ptr<Stream>> upstream =
      co_await worker.upstreams.connector().connect(planned->to, scope);
  if (!upstream) {
    account.refused(cause_of(upstream.error(), Attempt::dialling),
                    {.details = {}, .transport_failure = upstream.error().detail});
    client.close(upstream.error().code);
    account.tell();
    co_return;
  }
  account.open();
  Status relayed = co_await relay(client, **upstream, account.bytes);
  if (!relayed) account.log.termination_details = std::string(name(relayed.error().code));
  account.tell();
}

}  // namespace ambientd::l7
