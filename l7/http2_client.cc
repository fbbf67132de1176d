// SPDX-License-Identifier: Apache-2.0
#include "l7/http2_client.h"

#include "l7/http2_message.h"

namespace ambientd::l7 {
namespace {

hbone::Limits session_limits() {
  hbone::Limits limits;
  limits.stream_window_max = 1 << 20;
  limits.connection_window = 4 << 20;
  limits.queued_per_connection = 4 << 20;
  limits.max_frame_size = 16 << 10;
  return limits;
}

}  // namespace

Http2Connection::Http2Connection(std::unique_ptr<Stream> carrier)
    : transport(std::move(carrier)), session(hbone::Session::Role::client, *transport, session_limits()) {}

Result<std::unique_ptr<ClientExchange>> Http2Exchange::send(hbone::Session& session, const Request& request) {
  bool upgrades = !request.upgrade.empty();
  if (upgrades && !session.peer_allows_extended_connect())
    return fail(Errc::http_status, "the upstream's HTTP/2 does not take WebSockets (RFC 8441)");
  bool end = !request.has_body && !upgrades;
  Result<std::unique_ptr<hbone::Exchange>> stream = session.request(to_section(request), end);
  if (!stream) return fail(std::move(stream.error()));
  return std::make_unique<Http2Exchange>(std::move(*stream), upgrades);
}

const Fields& Http2Exchange::trailers() const {
  trailers_ = to_fields(stream_->trailers());
  return trailers_;
}

Task<Result<Response>> Http2Exchange::response() {
  Status arrived = co_await stream_->headers();
  if (!arrived) co_return fail(std::move(arrived.error()));
  bool nothing_more = stream_->ended() && stream_->trailers().empty();
  Result<Response> response = to_response(stream_->head(), nothing_more);
  if (response && upgrades_ && response->status == 200) response->status = 101;
  co_return response;
}

Task<Status> Http2Exchange::finish(Fields trailers) {
  stream_->finish_with(to_section(trailers));
  co_return Status{};
}

}  // namespace ambientd::l7
