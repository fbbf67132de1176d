// SPDX-License-Identifier: Apache-2.0
// One request with its response, as the story that proxies it sees both ends: heads around a Stream,
// whichever protocol carries them. On the server side the Stream reads the request's body and writes the
// response's; on the client side the other way round; so a body is forwarded by pumping one into the other,
// and back-pressure is the Streams'. After a 101 the Stream is the raw connection.
//
// The rule: heads first, then the Stream, then finish(); and never two of them at once on one direction.
#pragma once

#include "core/scope.h"
#include "core/stream.h"
#include "core/task.h"
#include "l7/message.h"
#include "l7/outcome.h"

namespace ambientd::l7 {

// A client asked us.
class ServerExchange {
 public:
  virtual ~ServerExchange() = default;

  virtual Stream& stream() = 0;
  // What followed the request's body; after its eof.
  virtual const Fields& trailers() const = 0;
  // 1xx any number of times, then the answer. `end`: it has no body and no trailers, finish() is not due.
  virtual Task<Status> respond(Response head, bool end) = 0;
  // Ends the response; what the protocol or the client cannot take of `trailers` is dropped.
  virtual Task<Status> finish(Fields trailers) = 0;

  Request request;
  Scope scope;  // what the story waits for; the codec closes it when the client is gone
};

// We asked an upstream.
class ClientExchange {
 public:
  virtual ~ClientExchange() = default;

  virtual Stream& stream() = 0;
  virtual const Fields& trailers() const = 0;  // of the response, after its eof
  // The next head: 1xx ones, then the answer. Errors: those of the stream, bad_request for garbage.
  virtual Task<Result<Response>> response() = 0;
  virtual Task<Status> finish(Fields trailers) = 0;  // ends the request
};

// Who answers: the story of one exchange. The exchange outlives it.
struct Handler {
  virtual ~Handler() = default;
  virtual Task<void> handle(ServerExchange& exchange) = 0;
  // The codec refused a request before there was an exchange, and answered `reply`: for the log.
  virtual void refused(const Request& request, const LocalReply& reply) = 0;
};

}  // namespace ambientd::l7
