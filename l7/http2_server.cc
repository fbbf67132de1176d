// SPDX-License-Identifier: Apache-2.0
#include "l7/http2_server.h"

#include <chrono>

#include "core/relay.h"
#include "l7/http2_message.h"
#include "l7/response_headers.h"

namespace ambientd::l7 {
namespace {

hbone::Limits session_limits() {
  hbone::Limits limits;
  limits.max_concurrent_streams = 1000;
  limits.stream_window_max = 1 << 20;
  limits.connection_window = 4 << 20;
  limits.queued_per_connection = 4 << 20;
  limits.max_frame_size = 16 << 10;
  limits.enable_connect_protocol = true;
  return limits;
}

// Closes the scope when the client resets the stream or its connection ends.
Task<void> watch(hbone::Exchange& stream, Scope& scope) {
  Status ended = co_await stream.headers();
  scope.close(ended ? Error{Errc::reset, "stream closed"} : ended.error());
}

}  // namespace

class Http2Server::Exchange final : public ServerExchange {
 public:
  Exchange(hbone::Exchange& stream, Request asked) : stream_(stream) {
    request = std::move(asked);
    head_request_ = request.method == "HEAD";
  }

  Stream& stream() override { return stream_; }
  const Fields& trailers() const override {
    trailers_ = to_fields(stream_.trailers());
    return trailers_;
  }

  Task<Status> respond(Response head, bool end) override {
    if (head.status == 101 && request.upgrade.empty()) co_return fail(Errc::http2, "101 over HTTP/2");
    bool nothing_follows = end || (head.status >= 200 && (!head.has_body || head_request_));
    ended_ = ended_ || nothing_follows;
    co_return stream_.respond(to_section(head), nothing_follows);
  }

  Task<Status> finish(Fields trailers) override {
    if (ended_) co_return Status{};
    ended_ = true;
    stream_.finish_with(to_section(trailers));
    co_return Status{};
  }

 private:
  hbone::Exchange& stream_;
  mutable Fields trailers_;
  bool head_request_ = false;
  bool ended_ = false;
};

Http2Server::Http2Server(Stream& transport, Handler& handler)
    : handler_(handler),
      session_(hbone::Session::Role::server, transport, session_limits(),
               [this](std::unique_ptr<hbone::Exchange> stream) {
                 Loop::current().spawn("http2 request", answer(std::move(stream)));
               }) {}

Task<Status> Http2Server::serve() { co_return co_await session_.run(); }

Task<void> Http2Server::answer(std::unique_ptr<hbone::Exchange> stream) {
  bool nothing_more = stream->ended() && stream->trailers().empty();
  std::expected<Request, Cause> request = to_request(stream->head(), nothing_more);
  if (!request) {
    co_await refuse(*stream, request.error());
    co_return;
  }
  Exchange exchange(*stream, std::move(*request));
  Task<void> watching = watch(*stream, exchange.scope);
  watching.start();
  co_await handler_.handle(exchange);
  stream->close(Errc::closed);
  co_await watching;
}

Task<void> Http2Server::refuse(hbone::Exchange& stream, Cause cause) {
  Request nothing;
  LocalReply reply = local_reply(cause, nothing);
  finish_response(reply.response, std::chrono::system_clock::now());
  handler_.refused(nothing, reply);
  Status sent = stream.respond(to_section(reply.response), reply.body.empty());
  if (!sent || reply.body.empty()) co_return;
  sent = co_await write_all(stream, {reinterpret_cast<const uint8_t*>(reply.body.data()), reply.body.size()});
  if (sent) stream.finish();
}

}  // namespace ambientd::l7
