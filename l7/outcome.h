// SPDX-License-Identifier: Apache-2.0
// How an L7 request ended when we, not the upstream, decided it: the only table of l7/ from a cause to
// status, body, response flag and details (contract/waypoint.md §3.3, §3.4). Bodies are what clients of an
// Envoy see, byte for byte.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/result.h"
#include "l7/message.h"

namespace ambientd::l7 {

enum class Cause : uint8_t {
  // What the client sent.
  bad_request,            // the codec cannot understand it: 400
  bad_connection_header,  // 400
  bad_path,               // 400
  missing_host,           // 400
  low_version,            // HTTP/1.0: 426
  bad_transfer_encoding,  // 501
  headers_too_large,      // 431
  too_many_headers,       // 431
  upgrade_refused,        // an upgrade we do not proxy, and CONNECT: 403
  // What we decided.
  denied,               // policy; details from policy::L7Verdict: 403
  bad_token,            // the JWT filter; its words are Note::refusal: 401
  other_audience,       // the same, for a good token that is meant for somebody else: 403
  no_route,             // no HTTPRoute matched: 404
  no_cluster,           // a rule without a valid backend: 500
  no_healthy_upstream,  // 503
  overflow,             // a bound of ours: 503
  // What became of the upstream, before its response began.
  connect_failed,           // 503 UF
  connect_timed_out,        // 503 UF
  upstream_closed,          // 503 UC
  upstream_reset,           // RST_STREAM: 503 UR
  upstream_refused,         // REFUSED_STREAM: 503 UR
  local_reset,              // 503 LR
  upstream_protocol_error,  // 502 UPE
  response_timed_out,       // 504 UT
  // Nobody is left to answer.
  client_gone,  // DC, status 0 in the log
};

struct Outcome {
  int status = 0;
  std::string_view body;     // of a plain reply; for upstream resets the reason that ends the sentence
  std::string_view flag;     // `UH`, or `-`
  std::string_view details;  // for upstream resets what stands in the braces
};
Outcome outcome(Cause cause);

// A whole answer of ours. `response` still needs finish_response() (date, server).
struct LocalReply {
  Response response;
  std::string body;   // empty for HEAD and for gRPC
  std::string flags;  // `UF`, `UF,URX`, or `-`
  std::string details;
};

// An answer of these words. gRPC requests and HEAD get theirs as local_reply() says; `grpc_status`: in place
// of the one that the HTTP status means.
LocalReply plain_reply(const Outcome& what, const Request& request, std::optional<int> grpc_status = {});

struct Note {
  std::string details;            // denied: the verdict's; bad_request: the codec's, if it has one
  std::string refusal;            // bad_token, other_audience: the body, and what the details quote
  std::string challenge;          // the same: www-authenticate
  std::string transport_failure;  // connect_failed: why; ends the body
  bool retried = false;           // an earlier attempt was made: other words, and URX beside the flag
};

// gRPC requests get HTTP 200, grpc-status and grpc-message in the header section and no body; HEAD gets the
// fields that describe the body but no body. client_gone gives status 0: there is nothing to send.
LocalReply local_reply(Cause cause, const Request& request, const Note& note = {});

// Details of a stream that broke after its response had begun and is only reset and logged:
// `upstream_reset_after_response_started{connection_termination}`.
std::string late_details(Cause cause, std::string_view transport_failure = {});

// What an attempt at an upstream means to its client. `Attempt` says how far it came when `error` ended it.
enum class Attempt : uint8_t {
  dialling,    // no connection yet: TCP, TLS, CONNECT, pool
  connection,  // the connection that carries the exchange ended (HTTP/1.1, or the whole HTTP/2 session)
  stream,      // the exchange's own HTTP/2 stream ended, its connection goes on
};
Cause cause_of(const Error& error, Attempt attempt);

// grpc-status for an HTTP status that did not come from a gRPC server (contract/waypoint.md §3.5).
int grpc_status_of(int http_status);
std::string percent_encoded(std::string_view grpc_message);

}  // namespace ambientd::l7
