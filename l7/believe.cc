// SPDX-License-Identifier: Apache-2.0
#include "l7/believe.h"

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "l7/authenticate.h"

namespace ambientd::l7 {
namespace {

uint64_t unix_now() {
  auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(now).count());
}

std::vector<policy::JwtRulePtr> rules_of(const View& view, const Tunnel& tunnel) {
  const config::ServicePtr& service = tunnel.target.service;
  return view.snapshot->jwt_rules().on(service ? service->key() : std::string(), view.self->gateway);
}

Refusal refusal_of(policy::JwtFault fault, const Request& request) {
  Cause cause = policy::status(fault) == 403 ? Cause::other_audience : Cause::bad_token;
  Note note;
  note.refusal = policy::text(fault);
  note.challenge = challenge(request);
  return {cause, std::move(note)};
}

// Asks for an early fetch, once until it has been made.
void miss(const KeyTable& keys, const std::string& source, const Worker& worker) {
  auto at = keys.find(source);
  if (at != keys.end() && worker.keys_missed && !at->second.missed->exchange(true))
    worker.keys_missed(source);
}

}  // namespace

bool checks_tokens(const View& view) { return view.self && !view.snapshot->jwt_rules().empty(); }

Task<Believed> believe(Worker& worker, const Tunnel& tunnel, ServerExchange& client) {
  for (;;) {
    ViewPtr view = worker.view;
    std::vector<policy::JwtRulePtr> rules = rules_of(*view, tunnel);
    remove_outputs(rules, client.request);
    Authentication found = authenticate(
        {.rules = rules, .keys = *view->keys, .cache = worker.tokens, .now = unix_now()}, client.request);
    for (const std::string& source : found.missed) miss(*view->keys, source, worker);
    if (found.token) pass_on(*found.rule, *found.token, client.request);
    if (found.token || (!found.fault && !found.waiting)) co_return std::move(found.token);
    if (!found.waiting) co_return std::unexpected(refusal_of(*found.fault, client.request));
    view.reset();
    KeysWaiter waiter;
    worker.waiting_for_keys.push_back(waiter);
    client.scope.add(waiter);
    co_await waiter.over;
    if (client.scope.closed()) co_return std::unexpected(Refusal{Cause::client_gone, {}});
  }
}

}  // namespace ambientd::l7
