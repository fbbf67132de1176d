// SPDX-License-Identifier: Apache-2.0
// Whole HTTP/1.1 messages over a Stream, for the parties that need no streaming: the admin ports and the
// client that talks to them.
#pragma once

#include <chrono>
#include <string>

#include "core/http1.h"
#include "core/ip.h"
#include "core/scope.h"
#include "core/stream.h"
#include "core/task.h"

namespace ambientd {

struct HttpMessage {
  http1::Head head;
  std::string body;  // chunks joined, trailers dropped
};

// Reads one message; says `100 Continue` to a request that waits for it. What follows it stays in the stream.
// Errors: bad_request (parser.status() says what to answer), overloaded (a body over `max_body` bytes), eof,
// or the stream's own.
Task<Result<HttpMessage>> read_message(Stream& from, http1::Parser& parser, size_t max_body);

// One request to `to` and its answer, over a connection of its own. `request.head` needs method, target and a
// host field; framing is filled in. Errors: connect_refused, connect_failed, what closes the scope, and
// read_message's.
Task<Result<HttpMessage>> http_call(SockAddr to, HttpMessage request, Scope& scope);

}  // namespace ambientd
