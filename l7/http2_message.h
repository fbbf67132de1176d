// SPDX-License-Identifier: Apache-2.0
// Between HTTP/2 header sections and our messages (RFC 9113 §8). nghttp2 has checked the sections: pseudo
// fields, names, values, and that bodies are as long as content-length says.
#pragma once

#include <expected>

#include "hbone/headers.h"
#include "l7/message.h"
#include "l7/outcome.h"

namespace ambientd::l7 {

// `ended`: nothing follows, neither body nor trailers. An extended CONNECT for websocket (RFC 8441) becomes a
// GET that upgrades; any other CONNECT fails with upgrade_refused.
std::expected<Request, Cause> to_request(const hbone::Headers& section, bool ended);

// A request as we send it; one that upgrades becomes an extended CONNECT.
hbone::Headers to_section(const Request& request);

// Errors: bad_request when there is no status.
Result<Response> to_response(const hbone::Headers& section, bool ended);

// A response as we send it; a 101 becomes 200.
hbone::Headers to_section(const Response& response);

Fields to_fields(const hbone::Headers& section);
hbone::Headers to_section(const Fields& fields);

}  // namespace ambientd::l7
