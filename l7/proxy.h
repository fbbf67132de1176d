// SPDX-License-Identifier: Apache-2.0
// The story of each request that comes out of one tunnel: planned, sent, answered, told. Bodies flow both
// ways at once, each as fast as its reader takes it. Before the response has begun whatever goes wrong is
// answered with a reply of ours; after that the exchange is only reset (contract/waypoint.md §3.3).
#pragma once

#include "l7/believe.h"
#include "l7/codec.h"
#include "l7/fault.h"
#include "l7/plan.h"
#include "l7/record.h"
#include "l7/worker.h"

namespace ambientd::l7 {

class Proxy final : public Handler {
 public:
  // `worker` outlives it.
  Proxy(Worker& worker, Tunnel tunnel) : worker_(worker), tunnel_(std::move(tunnel)) {}

  Task<void> handle(ServerExchange& client) override;
  void refused(const Request& request, const LocalReply& reply) override;

 private:
  struct Failure;
  struct Way;
  std::expected<void, Refusal> admit(Request& request, Record& record);
  std::expected<Plan, Refusal> plan(Request& request, Believed token);
  Fault fault_of(const Plan& plan);
  Task<void> delay(ServerExchange& client, uint64_t ms, Record& record);
  std::optional<LocalReply> pass(ServerExchange& client, const Fault& fault, Plan& plan, Record& record);
  std::optional<LocalReply> take_route(ServerExchange& client, Plan& plan, Record& record);
  bool place(Plan& plan, config::Tried tried);
  bool place_again(Plan& plan, Way& way);
  bool has_retries(const Plan& plan, const Way& way) const;
  bool may_retry(const Plan& plan, const Failure& failure, const Way& way) const;
  bool asks_again(const Plan& plan, const Response& response, const Way& way) const;
  Task<void> forward(ServerExchange& client, Plan plan, Record& record);
  Task<std::optional<Failure>> attempt(ServerExchange& client, const Plan& plan, Way& way, Record& record);
  Task<std::optional<Failure>> attempt_all(ServerExchange& client, Plan& plan, Way& way, Record& record);
  Task<Result<Response>> next_answer(ServerExchange& client, ClientExchange& upstream);
  Task<void> relay_answer(ServerExchange& client, ClientExchange& upstream, Response response,
                          Record& record);
  Task<void> relay_body(ServerExchange& client, ClientExchange& upstream, Record& record);
  Task<void> reply(ServerExchange& client, LocalReply local, const Plan* plan, Record& record);

  Worker& worker_;
  Tunnel tunnel_;
};

}  // namespace ambientd::l7
