// SPDX-License-Identifier: Apache-2.0
// Between HTTP/1.1 heads and our messages. Fields stay as they came, hop-by-hop ones included: what they mean
// is taken into the members here, and l7/request_headers.h takes them out.
#pragma once

#include <expected>

#include "core/http1.h"
#include "l7/message.h"
#include "l7/outcome.h"

namespace ambientd::l7 {

// A request as a client of ours sent it. Fails with what to answer: low_version for HTTP/1.0, bad_request for
// a target that is no path, upgrade_refused for CONNECT and for an Upgrade to anything but WebSocket
// (contract/waypoint.md §3.5); h2c is not taken up but ignored, as RFC 9110 §7.8 allows.
std::expected<Request, Cause> to_request(http1::Head head);

// A request as we send it to an upstream.
http1::Head to_head(const Request& request);

Response to_response(http1::Head head);

// A response as we send it: how it is framed follows from its length, the status and what was asked.
// `to_head_request`: it answers HEAD.
http1::Head to_head(const Response& response, bool to_head_request, bool keep_alive);

// What to answer when the parser refused a request with `status`.
Cause cause_of_refusal(int status);

}  // namespace ambientd::l7
