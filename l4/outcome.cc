// SPDX-License-Identifier: Apache-2.0
#include "l4/outcome.h"

namespace ambientd::l4 {
namespace {

// Operators search their logs for the words a ztunnel begins with.
std::string with_prefix(std::string_view prefix, const std::string& detail) {
  return detail.starts_with(prefix) ? detail : std::string(prefix) + detail;
}

}  // namespace

int connect_status(Errc code) {
  switch (code) {
    case Errc::bad_request:
    case Errc::ip_mismatch:
      return 400;
    case Errc::denied:
    case Errc::policy_changed:
      return 401;
    case Errc::closed:
    case Errc::eof:
    case Errc::reset:
    case Errc::connect_refused:
    case Errc::connect_failed:
    case Errc::timed_out:
    case Errc::hbone_timed_out:
    case Errc::tls:
    case Errc::revoked:
    case Errc::identity:
    case Errc::http2:
    case Errc::http_status:
    case Errc::refused_stream:
    case Errc::not_found:
    case Errc::unknown_waypoint:
    case Errc::no_healthy_upstream:
    case Errc::no_destination:
    case Errc::no_route:
    case Errc::self_call:
    case Errc::overloaded:
    case Errc::draining:
    case Errc::invalid:
    case Errc::io:
      return 503;
  }
  return 503;
}

std::string_view response_flag(Errc code) {
  switch (code) {
    case Errc::closed:
    case Errc::draining:
      return "-";
    case Errc::denied:
    case Errc::policy_changed:
      return "DENY";
    case Errc::hbone_timed_out:
      return "NETWORK_POLICY";
    case Errc::tls:
      return "TLS_FAILURE";
    case Errc::revoked:
      return "CERT_REVOKED";
    case Errc::identity:
      return "IDENTITY_ERROR";
    case Errc::http2:
    case Errc::refused_stream:
      return "H2_HANDSHAKE_FAILURE";
    case Errc::eof:
    case Errc::reset:
    case Errc::connect_refused:
    case Errc::connect_failed:
    case Errc::timed_out:
    case Errc::http_status:
    case Errc::bad_request:
    case Errc::not_found:
    case Errc::unknown_waypoint:
    case Errc::no_healthy_upstream:
    case Errc::no_destination:
    case Errc::no_route:
    case Errc::self_call:
    case Errc::ip_mismatch:
    case Errc::overloaded:
    case Errc::invalid:
    case Errc::io:
      return "CONNECT";
  }
  return "CONNECT";
}

std::string error_text(const Error& error) {
  switch (error.code) {
    case Errc::denied:
      return "connection closed due to policy rejection: " + error.detail;
    case Errc::policy_changed:
      return "connection closed due to policy change";
    case Errc::draining:
      return "connection closed due to connection drain";
    case Errc::self_call:
      return "attempted recursive call to ourselves";
    case Errc::http2:
    case Errc::refused_stream:
      return with_prefix("h2 failed: ", error.detail);
    case Errc::connect_refused:
    case Errc::connect_failed:
      return with_prefix("connection failed: ", error.detail);
    case Errc::io:
      return with_prefix("io error: ", error.detail);
    case Errc::revoked:  // the handshake names the certificate
      return error.detail.find("peer certificate") == error.detail.npos
                 ? "connection closed: peer certificate revoked by CRL"
                 : error.detail;
    case Errc::closed:
    case Errc::eof:
    case Errc::reset:
    case Errc::timed_out:
    case Errc::hbone_timed_out:
    case Errc::tls:
    case Errc::identity:
    case Errc::http_status:
    case Errc::bad_request:
    case Errc::not_found:
    case Errc::unknown_waypoint:
    case Errc::no_healthy_upstream:
    case Errc::no_destination:
    case Errc::no_route:
    case Errc::ip_mismatch:
    case Errc::overloaded:
    case Errc::invalid:
      return error.detail;
  }
  return error.detail;
}

bool is_clean_end(Errc code) { return code == Errc::reset; }

Status relay_outcome(const Scope& scope, Status ended) {
  if (scope.closed()) return fail(*scope.why());
  if (!ended && is_clean_end(ended.error().code)) return {};
  return ended;
}

}  // namespace ambientd::l4
