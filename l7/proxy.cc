// SPDX-License-Identifier: Apache-2.0
#include "l7/proxy.h"

#include "core/relay.h"
#include "core/text.h"
#include "l7/believe.h"
#include "l7/body.h"
#include "l7/cors.h"
#include "l7/request_headers.h"
#include "l7/response_headers.h"
#include "l7/retry.h"
#include "l7/timeout.h"
#include "l7/upload.h"
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

std::optional<std::chrono::milliseconds> since(std::optional<Record::Clock::time_point> then) {
  if (!then) return {};
  return std::chrono::duration_cast<std::chrono::milliseconds>(Record::Clock::now() - *then);
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

  Cause told() const { return late ? Cause::response_timed_out : cause; }
};

// What the attempts of one request share.
struct Proxy::Way {
  Scope& scope;  // what they wait for; ends with the client and with the timeout
  RouteTimeout& timeout;
  bool fresh = false;                      // on a connection of its own
  uint32_t retries = 0;                    // made so far
  std::vector<config::WorkloadPtr> tried;  // endpoints that failed
};

Task<void> Proxy::handle(ServerExchange& client) {
  Record record(tunnel_);
  client.scope.add(client.stream());
  std::expected<policy::VerifiedTokenPtr, Refusal> token;
  std::expected<void, Refusal> admitted = admit(client.request, record);
  if (!admitted) token = std::unexpected(std::move(admitted.error()));
  if (token && checks_tokens(*worker_.view)) token = co_await believe(worker_, tunnel_, client);
  std::expected<Plan, Refusal> planned = plan(client.request, std::move(token));
  std::optional<LocalReply> answer;
  if (planned) {
    record.matched(*planned);
    Fault fault = fault_of(*planned);
    if (fault.delay_ms > 0) co_await delay(client, fault.delay_ms, record);
    answer = pass(client, fault, *planned, record);
  } else {
    answer = local_reply(planned.error().cause, client.request, planned.error().note);
  }
  if (answer)
    co_await reply(client, std::move(*answer), planned ? &*planned : nullptr, record);
  else
    co_await forward(client, std::move(*planned), record);
  record.tell(worker_);
}

Fault Proxy::fault_of(const Plan& plan) {
  return plan.rule ? roll(plan.rule->fault, worker_.random(), worker_.random()) : Fault{};
}

Task<void> Proxy::delay(ServerExchange& client, uint64_t ms, Record& record) {
  record.delayed = true;
  Pause pause(client.scope, ms);
  co_await pause.over;
}

// The filters between authorization and an endpoint, in their order (contract/waypoint.md §1.7), from where
// the fault's delay is over; the answer of one that has it.
std::optional<LocalReply> Proxy::pass(ServerExchange& client, const Fault& fault, Plan& plan,
                                      Record& record) {
  bool gone = fault.delay_ms > 0 && client.scope.closed();
  if (gone) return local_reply(Cause::client_gone, client.request);
  if (fault.abort) return abort_reply(plan.rule->fault, client.request);
  return take_route(client, plan, record);
}

std::optional<LocalReply> Proxy::take_route(ServerExchange& client, Plan& plan, Record& record) {
  Request& request = client.request;
  if (plan.rule && plan.rule->cors) {
    const config::Cors& cors = *plan.rule->cors;
    plan.cors = grant_of(cors, request);
    if (std::optional<Response> answer = preflight(cors, plan.cors, request))
      return LocalReply{std::move(*answer), {}, "-", "cors_response"};
  }
  std::optional<LocalReply> answer = l7::take_route(*worker_.view, tunnel_, worker_.random(), request, plan);
  if (answer) return answer;
  record.routed(plan);
  if (!place(plan, {})) return local_reply(Cause::no_healthy_upstream, request);
  record.placed(plan);
  return {};
}

std::expected<void, Refusal> Proxy::admit(Request& request, Record& record) {
  std::expected<void, Cause> clean = clean_request(request);
  record.asked(request);
  if (!clean) return std::unexpected(Refusal{clean.error(), {}});
  if (!worker_.view) return std::unexpected(Refusal{Cause::no_healthy_upstream, {}});
  return {};
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
  Cause cause = timeout.expired() ? Cause::response_timed_out : failure->told();
  if (client.scope.closed()) cause = Cause::client_gone;
  record.log.transport_failure = failure->transport;
  Note note{.transport_failure = failure->transport, .retried = way.retries > 0};
  if (failure->late && !timeout.expired()) note.details = "upstream_per_try_timeout";
  co_await reply(client, local_reply(cause, client.request, note), &plan, record);
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

bool Proxy::has_retries(const Plan& plan, const Way& way) const {
  return plan.service && way.retries < retry_policy(plan.rule).retries;
}

bool Proxy::may_retry(const Plan& plan, const Failure& failure, const Way& way) const {
  const config::RetryPolicy& policy = retry_policy(plan.rule);
  bool wanted = failure.answered || (failure.unseen && retries_unsent(policy, failure.cause)) ||
                (failure.whole && retries_broken(policy, failure.told()));
  return wanted && has_retries(plan, way);
}

// Whether this answer is thrown away for another attempt's.
bool Proxy::asks_again(const Plan& plan, const Response& response, const Way& way) const {
  return response.status >= 200 && has_retries(plan, way) &&
         retries_answer(retry_policy(plan.rule), response);
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
  InnerScope own(way.scope);
  RouteTimeout time(own.scope, retry_policy(plan.rule).per_try_ms);
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
    Failure failure{Cause::no_healthy_upstream, {}};  // unless there is another
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
    record.trailed(upstream.trailers());
    Status ended = co_await client.finish(upstream.trailers());
    if (ended) co_return;
  }
  bool gone = down.whole() || down.sink_error() || client.scope.closed();
  Cause cause = Cause::client_gone;
  if (!gone) cause = cause_of(*down.source_error(), reached(*down.source_error(), Protocol::http1));
  client.stream().close(Errc::reset);
  record.ended(outcome(cause).flag, late_details(cause));
}

// `plan`: null where there was none.
Task<void> Proxy::reply(ServerExchange& client, LocalReply local, const Plan* plan, Record& record) {
  record.ended(local.flags, local.details);
  if (local.response.status == 0) {  // nobody is left to answer
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
