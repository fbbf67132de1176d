// SPDX-License-Identifier: Apache-2.0
#include "l7/http1_server.h"

#include <chrono>

#include "core/deadline.h"
#include "core/relay.h"
#include "l7/http1_message.h"
#include "l7/response_headers.h"

namespace ambientd::l7 {

class Http1Server::Exchange final : public ServerExchange {
 public:
  Exchange(Http1Server& server, Request asked, bool keep_alive) : server_(server), keep_alive_(keep_alive) {
    request = std::move(asked);
    head_request_ = request.method == "HEAD";
    std::optional<std::string_view> te = http1::find(request.fields, "te");
    takes_trailers_ = te && te->find("trailers") != te->npos;
  }

  Stream& stream() override { return server_.stream_; }
  const Fields& trailers() const override { return server_.stream_.trailers(); }

  Task<Status> respond(Response head, bool end) override {
    if (end) head.has_body = false;
    bool final_answer = head.status >= 200 || head.status == 101;
    if (final_answer && (server_.draining_ || head.status == 101 || body_in_doubt())) keep_alive_ = false;
    continued_ = continued_ || head.status == 100;
    bool stays = keep_alive_ || !final_answer;
    Status sent = co_await server_.stream_.send_head(to_head(head, head_request_, stays));
    if (sent && end) ended_ = true;
    if (!sent || head.status != 101) co_return sent;
    server_.raw_ = true;
    server_.transport_.nudge();
    co_await server_.unwatched_;  // whoever relays the bytes is the only one to read them
    server_.stream_.make_raw();
    co_return sent;
  }

  Task<Status> finish(Fields trailers) override {
    if (!takes_trailers_) trailers.clear();
    Status ended = co_await server_.stream_.end_message(trailers);
    ended_ = ended.has_value();
    co_return ended;
  }

  // A client that was not told to continue may send its body or its next request: nobody can tell
  // (RFC 9110 §10.1.1).
  bool body_in_doubt() const {
    return request.expect_continue && !continued_ && !server_.stream_.message_read();
  }
  bool keep_alive() const { return keep_alive_; }
  bool ended() const { return ended_; }  // a whole answer went out

 private:
  Http1Server& server_;
  bool keep_alive_;
  bool head_request_ = false;
  bool takes_trailers_ = false;
  bool continued_ = false;
  bool ended_ = false;
};

Http1Server::Http1Server(Stream& transport, Handler& handler, const Http1Limits& limits)
    : transport_(transport), handler_(handler), limits_(limits), stream_(transport, http1::Role::request) {}

void Http1Server::drain() {
  draining_ = true;
  if (idle_) transport_.close(Errc::draining);
}

Task<void> Http1Server::serve() {
  bool begun = co_await first_byte();
  while (begun) {
    Result<http1::Head> head = co_await next_head();
    if (!head && head.error().code == Errc::bad_request) {
      co_await refuse(cause_of_refusal(stream_.refusal()), head.error().detail);
    }
    if (!head) break;
    bool again = co_await serve_one(std::move(*head));
    if (!again) break;
  }
  transport_.close(Errc::closed);
}

Task<bool> Http1Server::first_byte() {
  Scope scope;
  scope.add(*this);
  Deadline deadline(scope, limits_.idle_ms, {Errc::timed_out, "HTTP/1 connection idle"});
  for (;;) {
    Result<Chunk> chunk = co_await transport_.read();
    if (!chunk || chunk->eof) co_return false;
    if (!chunk->data.empty()) co_return true;
  }
}

Task<Result<http1::Head>> Http1Server::next_head() {
  Scope scope;
  scope.add(*this);
  Deadline deadline(scope, limits_.head_ms, {Errc::timed_out, "HTTP/1 request head timed out"});
  Result<http1::Head> head = co_await stream_.read_head();
  co_return head;
}

Task<bool> Http1Server::serve_one(http1::Head head) {
  bool keep_alive = head.keep_alive;
  std::expected<Request, Cause> request = to_request(std::move(head));
  if (!request) {
    co_await refuse(request.error(), {});
    co_return false;
  }
  idle_ = false;
  Exchange exchange(*this, std::move(*request), keep_alive && !draining_);
  unwatched_.reset();
  Task<void> watching = watch(exchange.scope);
  watching.start();
  co_await handler_.handle(exchange);
  idle_ = true;
  if (raw_) co_return false;
  bool whole = exchange.ended();
  if (whole && !stream_.message_read() && exchange.keep_alive()) whole = co_await read_the_rest();
  leaving_ = !whole || !exchange.keep_alive() || draining_;
  if (leaving_ && whole) transport_.finish();
  if (!whole) transport_.close(Errc::closed);
  if (leaving_) stream_.read_end().set();
  Scope scope;
  scope.add(*this);
  uint64_t patience = leaving_ ? limits_.linger_ms : limits_.idle_ms;
  Deadline deadline(scope, patience, {Errc::timed_out, "HTTP/1 connection idle"});
  co_await watching;  // for the first byte of the next request
  co_return !leaving_ && !exchange.scope.closed();
}

// The client is gone when its connection ends before the next request began. What it sends to a connection
// that we are leaving is dropped, so that our answer is not lost to a reset.
Task<void> Http1Server::watch(Scope& scope) {
  co_await stream_.read_end();
  while (!raw_) {
    Result<Chunk> chunk = co_await transport_.read();
    if (raw_) break;
    bool gone = !chunk || chunk->eof;
    if (gone) scope.close({Errc::eof, "the client closed its connection"});
    if (gone || (!leaving_ && !chunk->data.empty())) break;
    transport_.consume(total(chunk->data));
  }
  unwatched_.set();
}

// The client has its answer but is still sending: what is left is read if it is short.
Task<bool> Http1Server::read_the_rest() {
  Scope scope;
  scope.add(*this);
  Deadline deadline(scope, limits_.linger_ms, {Errc::timed_out, "HTTP/1 request body went on too long"});
  Stream& body = stream_;
  uint64_t dropped = 0;
  bool whole = false;
  while (dropped < limits_.linger_bytes) {
    Result<Chunk> chunk = co_await body.read();
    if (!chunk) break;
    whole = chunk->eof;
    if (whole) break;
    size_t n = total(chunk->data);
    dropped += n;
    body.consume(n);
  }
  co_return whole;
}

Task<void> Http1Server::refuse(Cause cause, std::string details) {
  Request nothing;
  LocalReply reply = local_reply(cause, nothing, {.details = std::move(details)});
  finish_response(reply.response, std::chrono::system_clock::now());
  handler_.refused(nothing, reply);
  Status sent = co_await stream_.send_head(to_head(reply.response, reply.body.empty(), false));
  if (sent && !reply.body.empty()) {
    sent =
        co_await write_all(stream_, {reinterpret_cast<const uint8_t*>(reply.body.data()), reply.body.size()});
  }
  if (sent) co_await say_goodbye();
}

// Our end first, so that the answer is read before the connection is cut.
Task<void> Http1Server::say_goodbye() {
  transport_.finish();
  Scope scope;
  scope.add(*this);
  Deadline deadline(scope, limits_.linger_ms, {Errc::timed_out, "HTTP/1 connection refused"});
  uint64_t dropped = 0;
  while (dropped < limits_.linger_bytes) {
    Result<Chunk> chunk = co_await transport_.read();
    if (!chunk || chunk->eof) break;
    size_t n = total(chunk->data);
    dropped += n;
    transport_.consume(n);
  }
}

}  // namespace ambientd::l7
