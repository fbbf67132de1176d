// SPDX-License-Identifier: Apache-2.0
#include "l7/outcome.h"

#include <fmt/format.h>

#include <algorithm>

namespace ambientd::l7 {
namespace {

// Whether the body is the sentence about a reset that ends with Outcome::body.
bool is_reset(Cause cause) {
  switch (cause) {
    case Cause::overflow:
    case Cause::connect_failed:
    case Cause::connect_timed_out:
    case Cause::upstream_closed:
    case Cause::upstream_reset:
    case Cause::upstream_refused:
    case Cause::local_reset:
    case Cause::upstream_protocol_error:
      return true;
    case Cause::bad_request:
    case Cause::bad_connection_header:
    case Cause::bad_path:
    case Cause::missing_host:
    case Cause::low_version:
    case Cause::bad_transfer_encoding:
    case Cause::headers_too_large:
    case Cause::too_many_headers:
    case Cause::upgrade_refused:
    case Cause::denied:
    case Cause::bad_token:
    case Cause::other_audience:
    case Cause::no_route:
    case Cause::no_cluster:
    case Cause::no_healthy_upstream:
    case Cause::response_timed_out:
    case Cause::client_gone:
      return false;
  }
  return false;
}

// Details are one word of a log line.
std::string one_word(std::string text) {
  std::ranges::replace_if(text, [](unsigned char c) { return c <= ' '; }, '_');
  return text;
}

std::string reset_details(std::string_view when, Cause cause, std::string_view transport_failure) {
  return one_word(fmt::format("{}{{{}{}{}}}", when, outcome(cause).details,
                              transport_failure.empty() ? "" : "|", transport_failure));
}

// Only a refused dial explains itself to the client; the rest is for the log (Envoy does the same).
std::string_view reason_of(Cause cause, const Note& note) {
  return cause == Cause::connect_failed ? std::string_view(note.transport_failure) : std::string_view();
}

std::string body_of(Cause cause, const Note& note) {
  Outcome what = outcome(cause);
  if (!note.refusal.empty()) return note.refusal;
  if (!is_reset(cause)) return std::string(what.body);
  std::string_view reason = reason_of(cause, note);
  return fmt::format("upstream connect error or disconnect/reset before headers. {}reset reason: {}{}{}",
                     note.retried ? "retried and the latest " : "", what.body,
                     reason.empty() ? "" : ", transport failure reason: ", reason);
}

std::string details_of(Cause cause, const Note& note) {
  if (is_reset(cause))
    return reset_details("upstream_reset_before_response_started", cause, reason_of(cause, note));
  if (!note.refusal.empty()) return one_word(fmt::format("{}{{{}}}", outcome(cause).details, note.refusal));
  return note.details.empty() ? std::string(outcome(cause).details) : one_word(note.details);
}

// Trailers-only: the status of the call stands in the header section (contract/waypoint.md §3.5).
Response grpc_response(int grpc_status, const std::string& message) {
  Response out{.status = 200, .fields = {}, .content_length = {}, .has_body = false};
  add_field(out.fields, "content-type", "application/grpc");
  add_field(out.fields, "grpc-status", std::to_string(grpc_status));
  if (!message.empty()) add_field(out.fields, "grpc-message", percent_encoded(message));
  return out;
}

Response plain_response(int status, size_t length) {
  if (status == 204 || status == 304)  // never a body (RFC 9110 §6.4.1)
    return {.status = status, .fields = {}, .content_length = {}, .has_body = false};
  Response out{.status = status, .fields = {}, .content_length = length, .has_body = length > 0};
  add_field(out.fields, "content-length", std::to_string(length));
  if (length > 0) add_field(out.fields, "content-type", "text/plain");
  return out;
}

}  // namespace

Outcome outcome(Cause cause) {
  switch (cause) {
    case Cause::bad_request:
      return {400, "Bad Request", "DPE", "http1.codec_error"};
    case Cause::bad_connection_header:
      return {400, "Bad Request", "DPE", "http1.connection_header_rejected"};
    case Cause::bad_path:
      return {400, "", "-", "path_normalization_failed"};
    case Cause::missing_host:
      return {400, "", "-", "missing_host_header"};
    case Cause::low_version:
      return {426, "", "-", "low_version"};
    case Cause::bad_transfer_encoding:
      return {501, "Not Implemented", "DPE", "http1.invalid_transfer_encoding"};
    case Cause::headers_too_large:
      return {431, "", "DPE", "http1.headers_too_large"};
    case Cause::too_many_headers:
      return {431, "", "DPE", "http1.too_many_headers"};
    case Cause::upgrade_refused:
      return {403, "", "-", "upgrade_failed"};
    case Cause::denied:
      return {403, "RBAC: access denied", "-", "rbac_access_denied_matched_policy[none]"};
    case Cause::bad_token:
      return {401, "Jwt verification fails", "-", "jwt_authn_access_denied"};
    case Cause::other_audience:
      return {403, "Audiences in Jwt are not allowed", "-", "jwt_authn_access_denied"};
    case Cause::no_route:
      return {404, "", "NR", "route_not_found"};
    case Cause::no_cluster:
      return {500, "", "NC", "cluster_not_found"};
    case Cause::no_healthy_upstream:
      return {503, "no healthy upstream", "UH", "no_healthy_upstream"};
    case Cause::overflow:
      return {503, "overflow", "UO", "overflow"};
    case Cause::connect_failed:
      return {503, "remote connection failure", "UF", "remote_connection_failure"};
    case Cause::connect_timed_out:
      return {503, "connection timeout", "UF", "connection_timeout"};
    case Cause::upstream_closed:
      return {503, "connection termination", "UC", "connection_termination"};
    case Cause::upstream_reset:
      return {503, "remote reset", "UR", "remote_reset"};
    case Cause::upstream_refused:
      return {503, "remote refused stream reset", "UR", "remote_refused_stream_reset"};
    case Cause::local_reset:
      return {503, "local reset", "LR", "local_reset"};
    case Cause::upstream_protocol_error:
      return {502, "protocol error", "UPE", "protocol_error"};
    case Cause::response_timed_out:
      return {504, "upstream request timeout", "UT", "response_timeout"};
    case Cause::client_gone:
      return {0, "", "DC", "downstream_remote_disconnect"};
  }
  return {500, "", "-", "-"};
}

LocalReply plain_reply(const Outcome& what, const Request& request, std::optional<int> grpc_status) {
  LocalReply out{.response = {},
                 .body = std::string(what.body),
                 .flags = std::string(what.flag),
                 .details = std::string(what.details)};
  bool grpc = request.is_grpc();
  out.response = grpc ? grpc_response(grpc_status.value_or(grpc_status_of(what.status)), out.body)
                      : plain_response(what.status, out.body.size());
  if (request.method == "HEAD") out.response.has_body = false;
  if (!out.response.has_body) out.body.clear();
  return out;
}

LocalReply local_reply(Cause cause, const Request& request, const Note& note) {
  Outcome what = outcome(cause);
  std::string body = body_of(cause, note), details = details_of(cause, note);
  std::string flags = std::string(what.flag) + (note.retried && is_reset(cause) ? ",URX" : "");
  if (what.status == 0)
    return {
        .response = {}, .body = std::move(body), .flags = std::move(flags), .details = std::move(details)};
  LocalReply out = plain_reply({what.status, body, flags, details}, request);
  if (!note.challenge.empty()) add_field(out.response.fields, "www-authenticate", note.challenge);
  if (cause == Cause::overflow) add_field(out.response.fields, "x-envoy-overloaded", "true");
  return out;
}

std::string late_details(Cause cause, std::string_view transport_failure) {
  if (!is_reset(cause)) return std::string(outcome(cause).details);
  return reset_details("upstream_reset_after_response_started", cause, transport_failure);
}

Cause cause_of(const Error& error, Attempt attempt) {
  bool dialling = attempt == Attempt::dialling;
  switch (error.code) {
    case Errc::closed:
    case Errc::draining:
      return Cause::local_reset;
    case Errc::overloaded:
      return dialling ? Cause::overflow : Cause::local_reset;
    case Errc::no_healthy_upstream:
    case Errc::no_destination:
    case Errc::not_found:
    case Errc::unknown_waypoint:
      return Cause::no_healthy_upstream;
    case Errc::no_route:
      return Cause::no_route;
    case Errc::timed_out:
    case Errc::hbone_timed_out:
      return dialling ? Cause::connect_timed_out : Cause::response_timed_out;
    case Errc::refused_stream:
      return dialling ? Cause::connect_failed : Cause::upstream_refused;
    case Errc::bad_request:
    case Errc::http2:
      return dialling ? Cause::connect_failed : Cause::upstream_protocol_error;
    case Errc::eof:
    case Errc::reset:
    case Errc::connect_refused:
    case Errc::connect_failed:
    case Errc::tls:
    case Errc::revoked:
    case Errc::identity:
    case Errc::http_status:
    case Errc::denied:
    case Errc::policy_changed:
    case Errc::self_call:
    case Errc::ip_mismatch:
    case Errc::invalid:
    case Errc::io:
      if (dialling) return Cause::connect_failed;
      return attempt == Attempt::stream ? Cause::upstream_reset : Cause::upstream_closed;
  }
  return Cause::local_reset;
}

int grpc_status_of(int http_status) {
  switch (http_status) {
    case 400:
      return 13;  // INTERNAL
    case 401:
      return 16;  // UNAUTHENTICATED
    case 403:
      return 7;  // PERMISSION_DENIED
    case 404:
      return 12;  // UNIMPLEMENTED
    case 429:
    case 502:
    case 503:
    case 504:
      return 14;  // UNAVAILABLE
    default:
      return 2;  // UNKNOWN
  }
}

std::string percent_encoded(std::string_view grpc_message) {
  std::string out;
  for (char c : grpc_message) {
    if (c >= 0x20 && c <= 0x7e && c != '%')
      out += c;
    else
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

}  // namespace ambientd::l7
