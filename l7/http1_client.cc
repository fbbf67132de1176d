// SPDX-License-Identifier: Apache-2.0
#include "l7/http1_client.h"

#include "l7/http1_message.h"

namespace ambientd::l7 {

Http1Exchange::Http1Exchange(std::unique_ptr<Http1Connection> connection, GiveBack give_back)
    : connection_(std::move(connection)), give_back_(std::move(give_back)) {}

Http1Exchange::~Http1Exchange() {
  bool clean = keep_alive_ && request_sent_ && connection_->stream.message_read();
  if (!clean) return;
  connection_->used = true;
  give_back_(std::move(connection_));
}

Task<Status> Http1Exchange::send(const Request& request) {
  connection_->stream.expect(request.method, !request.upgrade.empty());
  Status sent = co_await connection_->stream.send_head(to_head(request));
  request_sent_ = sent && !request.has_body;
  co_return sent;
}

Task<Result<Response>> Http1Exchange::response() {
  Result<http1::Head> head = co_await connection_->stream.read_head();
  if (!head) co_return fail(std::move(head.error()));
  if (head->status == 101) connection_->stream.make_raw();
  keep_alive_ = head->keep_alive && head->status >= 200;
  co_return to_response(std::move(*head));
}

Task<Status> Http1Exchange::finish(Fields trailers) {
  Status sent = co_await connection_->stream.end_message(trailers);
  request_sent_ = sent.has_value();
  co_return sent;
}

}  // namespace ambientd::l7
