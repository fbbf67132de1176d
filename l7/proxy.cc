// SPDX-License-Identifier: Apache-2.0
#include "l7/proxy.h"

#include "core/relay.h"
#include "core/text.h"
#include "l7/authenticate.h"
#include "l7/body.h"
#include "l7/cors.h"
#include "l7/fault.h"
#include "l7/request_headers.h"
#include "l7/response_headers.h"
#include "l7/retry.h"
#include "l7/timeout.h"
#include "l7/websocket.h"

namespace ambientd::l7 {
namespace {

constexpr int kMostInterim = 16;  // 1xx responses to one request

// How far an exchange had come when `error` ended it.
Attempt reached(const Error& error, Protocol protocol) {
  bool own = error.code == Errc::reset || error.code == Errc::refused_stream;
  return protocol == Protocol::http2 && own ? Attempt::stream : Attempt::connection;
}

// A request that the upstream has not answered at all may be sent again when none of its body has gone, or
// when sending it twice is like sending it once (RFC 9110 §9.2.2).
bool may_repeat(const Request& request, const BodyPump& body, uint64_t uploaded) {
  if (request.has_body) return uploaded == 0 && body.sink_error().has_value();
  const std::string& method = request.method;
  return method == "GET" || method == "HEAD" || method == "OPTIONS" || method == "PUT" ||
         method == "DELETE" || method == "TRACE";
}

void note_grpc_status(const Fields& trailers, Record& record) {
  std::optional<std::string_view> text = http1::find(trailers, "grpc-status");
  std::optional<uint64_t> status = text ? parse_uint(*text) : std::nullopt;
  if (status) record.grpc_status = static_cast<int>(*status);
}

std::optional<std::chrono::milliseconds> since(std::optional<Record::Clock::time_point> then) {
  if (!then) return {};
  return std::chrono::duration_cast<std::chrono::milliseconds>(Record::Clock::now() - *then);
}

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
  return {cause, std::move(note), {}};
}

// Asks for an early fetch, once until it has been made.
void miss(const KeyTable& keys, const std::string& source, const Worker& worker) {
  auto at = keys.find(source);
  if (at != keys.end() && worker.keys_missed && !at->second.missed->exchange(true))
    worker.keys_missed(source);
}

}  // namespace

// Why an attempt came to nothing before the response began.
struct Proxy::Failure {
  Cause cause;
  std::string transport;   // why a dial failed
  bool untouched = false;  // a kept connection was closed already: it may be sent once more
  bool unseen = false;     // the endpoint has not seen the request: another one may get it
  bool whole = false;      // nothing of it is lost: it can be sent once more
  bool late = false;       // its attempt's own time was up
  bool answered = false;   // by a response that the route does not take for the last word
};

// What the attempts of one request share.
struct Proxy::Way {
  Scope& scope;  // what they wait for; ends with the client and with the timeout
  RouteTimeout& timeout;
  bool fresh = false;                      // on a connection of its own
  uint32_t retries = 0;                    // made so far
  std::vector<config::WorkloadPtr> tried;  // endpoints that failed
};

// The request's body on its way up, while the response is waited for.
struct Proxy::Upload {
  Upload(ServerExchange& from, ClientExchange& to, RouteTimeout& all, RouteTimeout& one)
      : client(from), upstream(to), timeout(all), try_timeout(one), pump(from.stream(), to.stream()) {
    if (!client.request.has_body) done();
  }

  void done() {
    sent_at = Record::Clock::now();
    timeout.start();
    try_timeout.start();
  }

  Task<void> run(uint64_t& bytes) {
    co_await pump.run(bytes);
    if (pump.source_error()) upstream.stream().close(Errc::reset);
    if (!pump.whole()) co_return;
    Status sent = co_await upstream.finish(client.trailers());
    if (sent) done();
  }

  // What is still to be sent is not wanted any more.
  void abandon() {
    pump.stop();
    upstream.stream().close(Errc::closed);
  }

  ServerExchange& client;
  ClientExchange& upstream;
  RouteTimeout& timeout;      // of the request
  RouteTimeout& try_timeout;  // of this attempt
  BodyPump pump;
  std::optional<Record::Clock::time_point> sent_at;  // the whole request
};

Task<void> Proxy::handle(ServerExchange& client) {
  Record record(tunnel_);
  client.scope.add(client.stream());
  std::expected<policy::VerifiedTokenPtr, Refusal> token;
  std::expected<void, Refusal> admitted = admit(client.request, record);
  if (!admitted) token = std::unexpected(std::move(admitted.error()));
  if (token && checks_tokens()) token = co_await believe(client);
  std::expected<Plan, Refusal> planned = plan(client.request, std::move(token));
  std::optional<Refusal> refusal;
  if (planned)
    refusal = co_await pass(client, *planned, record);
  else
    refusal = std::move(planned.error());
  if (refusal)
    co_await reply(client, std::move(*refusal), planned ? &*planned : nullptr, record);
  else
    co_await forward(client, std::move(*planned), record);
  record.tell(worker_);
}

// The filters between authorization and an endpoint, in their order (contract/waypoint.md §1.7).
Task<std::optional<Refusal>> Proxy::pass(ServerExchange& client, Plan& plan, Record& record) {
  record.routed(plan);
  if (plan.rule) {
    std::optional<Refusal> fault = co_await inject_fault(client, plan, record);
    if (fault) co_return fault;
  }
  co_return take_route(client, plan, record);
}

Task<std::optional<Refusal>> Proxy::inject_fault(ServerExchange& client, const Plan& plan, Record& record) {
  const config::FaultInjection& faults = plan.rule->fault;
  Fault fault = roll(faults, worker_.random(), worker_.random());
  if (fault.delay_ms > 0) {
    record.delayed = true;
    Pause pause(client.scope, fault.delay_ms);
    co_await pause.over;
    if (client.scope.closed()) co_return Refusal{Cause::client_gone, {}, {}};
  }
  if (!fault.abort) co_return std::nullopt;
  co_return Refusal{.note = {}, .answer = abort_reply(faults, client.request)};
}

std::optional<Refusal> Proxy::take_route(ServerExchange& client, Plan& plan, Record& record) {
  if (plan.rule && plan.rule->cors) {
    const config::Cors& cors = *plan.rule->cors;
    plan.cors = grant_of(cors, client.request);
    if (std::optional<Response> answer = preflight(cors, plan.cors, client.request))
      return Refusal{.note = {}, .answer = LocalReply{std::move(*answer), {}, "-", "cors_response"}};
  }
  std::expected<void, Refusal> taken =
      l7::take_route(*worker_.view, tunnel_, worker_.random(), client.request, plan);
  if (!taken) return std::move(taken.error());
  record.routed(plan);
  if (!place(plan, {})) return Refusal{Cause::no_healthy_upstream, {}, {}};
  record.placed(plan);
  return {};
}

std::expected<void, Refusal> Proxy::admit(Request& request, Record& record) {
  std::expected<void, Cause> clean = clean_request(request);
  record.asked(request);
  if (!clean) return std::unexpected(Refusal{clean.error(), {}, {}});
  if (!worker_.view) return std::unexpected(Refusal{Cause::no_healthy_upstream, {}, {}});
  return {};
}

bool Proxy::checks_tokens() const {
  return worker_.view->self && !worker_.view->snapshot->jwt_rules().empty();
}

// The token of a request that has one and may go on. Its rules are those of the view it is judged by; while
// their keys have never been fetched it waits, and is judged anew.
Task<Proxy::Believed> Proxy::believe(ServerExchange& client) {
  for (;;) {
    ViewPtr view = worker_.view;
    std::vector<policy::JwtRulePtr> rules = rules_of(*view, tunnel_);
    remove_outputs(rules, client.request);
    Authentication found = authenticate(
        {.rules = rules, .keys = *view->keys, .cache = worker_.tokens, .now = unix_now()}, client.request);
    for (const std::string& source : found.missed) miss(*view->keys, source, worker_);
    if (found.token) pass_on(*found.rule, *found.token, client.request);
    if (found.token || (!found.fault && !found.waiting)) co_return std::move(found.token);
    if (!found.waiting) co_return std::unexpected(refusal_of(*found.fault, client.request));
    view.reset();
    KeysWaiter waiter;
    worker_.waiting_for_keys.push_back(waiter);
    client.scope.add(waiter);
    co_await waiter.over;
    if (client.scope.closed()) co_return std::unexpected(Refusal{Cause::client_gone, {}, {}});
  }
}

std::expected<Plan, Refusal> Proxy::plan(Request& request, Believed token) {
  if (!token) return std::unexpected(std::move(token.error()));
  return plan_request(*worker_.view, tunnel_, request, token->get());
}

bool Proxy::place(Plan& plan, config::Tried tried) {
  LoadOf load = [this](const config::Workload& endpoint) { return worker_.load_of(endpoint); };
  return place_plan(*worker_.view, tunnel_, {worker_.roll(), load, tried}, plan);
}

Task<void> Proxy::forward(ServerExchange& client, Plan plan, Record& record) {
  if (!client.request.upgrade.empty()) add_websocket_key(client.request);
  uint64_t timeout_ms = timeout_of(plan.rule, client.request);
  if (timeout_ms > 0)
    set_field(client.request.fields, "x-envoy-expected-rq-timeout-ms", std::to_string(timeout_ms));
  InnerScope inner(client.scope);
  RouteTimeout timeout(inner.scope, timeout_ms);
  if (!client.request.has_body) timeout.start();  // dialling counts
  Way way{inner.scope, timeout};
  std::optional<Failure> failure = co_await attempt_all(client, plan, way, record);
  if (!failure) co_return;
  Cause cause = failure->cause;
  if (timeout.expired() || failure->late) cause = Cause::response_timed_out;
  if (client.scope.closed()) cause = Cause::client_gone;
  record.log.transport_failure = failure->transport;
  Note note{.transport_failure = failure->transport, .retried = way.retries > 0};
  if (failure->late && !timeout.expired()) note.details = "upstream_per_try_timeout";
  co_await reply(client, {cause, std::move(note), {}}, &plan, record);
}

// Until the response begins. A kept connection that turned out to be closed is no endpoint's failure: once,
// another one takes its place. What an endpoint has not seen goes to another endpoint.
Task<std::optional<Proxy::Failure>> Proxy::attempt_all(ServerExchange& client, Plan& plan, Way& way,
                                                       Record& record) {
  for (;;) {
    std::optional<Failure> failure = co_await attempt(client, plan, way, record);
    if (!failure || way.scope.closed()) co_return failure;
    bool stale = failure->untouched && !std::exchange(way.fresh, true);
    if (stale) continue;
    if (!may_retry(plan, *failure, way)) co_return failure;
    Pause pause(way.scope, backoff_ms(retry_policy(plan.rule), way.retries++, worker_.random()));
    co_await pause.over;
    if (way.scope.closed()) co_return failure;
    bool placed = place_again(plan, way);
    if (!placed) co_return failure;
    record.placed(plan);
  }
}

bool Proxy::may_retry(const Plan& plan, const Failure& failure, const Way& way) const {
  const config::RetryPolicy& policy = retry_policy(plan.rule);
  if (!plan.service || way.retries >= policy.retries) return false;
  if (failure.unseen && retries_unsent(policy, failure.cause)) return true;
  Cause cause = failure.late ? Cause::response_timed_out : failure.cause;
  return failure.answered || (failure.whole && retries_broken(policy, cause));
}

// Whether this answer is thrown away for another attempt's.
bool Proxy::asks_again(const Plan& plan, const Response& response, const Way& way) const {
  const config::RetryPolicy& policy = retry_policy(plan.rule);
  return plan.service && response.status >= 200 && way.retries < policy.retries &&
         retries_answer(policy, response);
}

// At an endpoint that has not failed this request, where there is one.
bool Proxy::place_again(Plan& plan, Way& way) {
  if (!worker_.view || !worker_.view->self) return false;
  if (retry_policy(plan.rule).avoid_tried) way.tried.push_back(plan.endpoint);
  return place(plan, way.tried) || place(plan, {});
}

// Nothing: the response began, and what became of it is in the record.
Task<std::optional<Proxy::Failure>> Proxy::attempt(ServerExchange& client, const Plan& plan, Way& way,
                                                   Record& record) {
  Busy busy(worker_, plan.endpoint);
  const config::RetryPolicy& policy = retry_policy(plan.rule);
  InnerScope own(way.scope);
  RouteTimeout time(own.scope, policy.per_try_ms);
  if (!client.request.has_body) time.start();
  bool dialled = false;
  Result<Upstreams::Sent> sent =
      co_await worker_.upstreams.send(plan.to, plan.protocol, client.request, way.fresh, own.scope, dialled);
  if (!sent) {
    Attempt far = dialled ? Attempt::connection : Attempt::dialling;
    Failure failure{cause_of(sent.error(), far), dialled ? "" : sent.error().detail};
    failure.unseen = !dialled;
    failure.whole = !client.request.has_body || !dialled;
    failure.late = time.expired();
    co_return failure;
  }
  ClientExchange& upstream = *sent->exchange;
  Upload upload(client, upstream, way.timeout, time);
  Task<void> uploading = upload.run(record.uploaded);
  if (client.request.has_body) uploading.start();
  Result<Response> response = co_await next_answer(client, upstream);
  time.stop();
  if (response && !client.request.has_body && asks_again(plan, *response, way)) {
    upstream.stream().close(Errc::closed);
    Failure failure{Cause::no_healthy_upstream, {}};
    failure.answered = true;
    co_return failure;
  }
  if (response) {
    if (response->status == 101) way.timeout.stop();
    clean_response(*response);
    if (plan.rule) apply(plan.rule->response_headers, *response);
    if (plan.backend) apply(plan.backend->response_headers, *response);
    if (plan.cors) allow(*plan.cors, *response);
    finish_response(*response, std::chrono::system_clock::now(), since(upload.sent_at));
    record.log.upstream_time = since(upload.sent_at);
    co_await relay_answer(client, upstream, std::move(*response), record);
  }
  if (client.request.has_body && !uploading.finished()) upload.abandon();
  if (client.request.has_body) co_await uploading;
  if (response) co_return std::nullopt;
  const std::optional<Error>& garbage = upload.pump.source_error();
  if (garbage)
    co_return Failure{garbage->code == Errc::bad_request ? Cause::bad_request : Cause::client_gone, {}};
  Failure failure{cause_of(response.error(), reached(response.error(), plan.protocol)), {}};
  failure.untouched = sent->untouched() && may_repeat(client.request, upload.pump, record.uploaded);
  bool refused = failure.cause == Cause::upstream_refused;
  bool kept = record.uploaded == 0 && upload.pump.sink_error();  // the whole body is still there
  failure.whole = !client.request.has_body || kept;
  failure.unseen = refused && failure.whole;
  failure.late = time.expired();
  co_return failure;
}

// The final response's head; interim ones go to the client as they come.
Task<Result<Response>> Proxy::next_answer(ServerExchange& client, ClientExchange& upstream) {
  for (int interim = 0; interim <= kMostInterim; ++interim) {
    Result<Response> response = co_await upstream.response();
    bool more = response && response->status < 200 && response->status != 101;
    if (!more) co_return response;
    clean_response(*response);
    Status sent = co_await client.respond(std::move(*response), false);
    if (!sent) co_return fail(std::move(sent.error()));
  }
  co_return fail(Errc::bad_request, "too many interim responses");
}

Task<void> Proxy::relay_answer(ServerExchange& client, ClientExchange& upstream, Response response,
                               Record& record) {
  bool upgraded = response.status == 101;
  bool end = !response.has_body && !upgraded;
  bool accepted = http1::find(response.fields, "sec-websocket-accept").has_value();
  if (upgraded && !accepted) {
    std::string_view key = http1::find(client.request.fields, "sec-websocket-key").value_or("");
    set_field(response.fields, "sec-websocket-accept", websocket_accept(key));
  }
  record.answered(response);
  record.ended("-", "via_upstream");
  Status sent = co_await client.respond(std::move(response), end);
  if (!sent) {
    bool ours = sent.error().code == Errc::invalid;
    client.stream().close(Errc::reset);
    record.ended(ours ? "UPE" : "DC",
                 late_details(ours ? Cause::upstream_protocol_error : Cause::client_gone));
    co_return;
  }
  if (upgraded) {
    Relayed bytes;
    Status relayed = co_await relay(client.stream(), upstream.stream(), bytes);
    record.uploaded += bytes.a_to_b;
    record.downloaded += bytes.b_to_a;
    if (!relayed && client.scope.closed()) record.ended("DC", late_details(Cause::client_gone));
    co_return;
  }
  if (!end) co_await relay_body(client, upstream, record);
}

Task<void> Proxy::relay_body(ServerExchange& client, ClientExchange& upstream, Record& record) {
  BodyPump down(upstream.stream(), client.stream());
  co_await down.run(record.downloaded);
  if (down.whole()) {
    note_grpc_status(upstream.trailers(), record);
    Status ended = co_await client.finish(upstream.trailers());
    if (ended) co_return;
  }
  bool gone = down.whole() || down.sink_error() || client.scope.closed();
  Cause cause = Cause::client_gone;
  if (!gone) cause = cause_of(*down.source_error(), reached(*down.source_error(), Protocol::http1));
  client.stream().close(Errc::reset);
  record.ended(outcome(cause).flag, late_details(cause));
}

Task<void> Proxy::reply(ServerExchange& client, Refusal refusal, const Plan* plan, Record& record) {
  LocalReply local =
      refusal.answer ? std::move(*refusal.answer) : local_reply(refusal.cause, client.request, refusal.note);
  record.ended(local.flags, local.details);
  if (refusal.cause == Cause::client_gone) {
    client.stream().close(Errc::reset);
    co_return;
  }
  if (plan != nullptr && plan->cors) allow(*plan->cors, local.response);
  finish_response(local.response, std::chrono::system_clock::now());
  record.answered(local.response);
  Status sent = co_await client.respond(local.response, local.body.empty());
  if (sent && !local.body.empty()) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(local.body.data());
    sent = co_await write_all(client.stream(), {bytes, local.body.size()});
    if (sent) sent = co_await client.finish({});
    record.downloaded += local.body.size();
  }
  if (!sent) client.stream().close(Errc::reset);
}

void Proxy::refused(const Request& request, const LocalReply& reply) {
  Record record(tunnel_);
  record.asked(request);
  record.answered(reply.response);
  record.ended(reply.flags, reply.details);
  record.tell(worker_);
}

}  // namespace ambientd::l7
