// SPDX-License-Identifier: Apache-2.0
#include "core/result.h"

#include <fmt/format.h>

#include <cstring>

namespace ambientd {

std::string_view name(Errc code) {
  switch (code) {
    case Errc::closed:
      return "closed";
    case Errc::eof:
      return "eof";
    case Errc::reset:
      return "reset";
    case Errc::connect_refused:
      return "connect_refused";
    case Errc::connect_failed:
      return "connect_failed";
    case Errc::timed_out:
      return "timed_out";
    case Errc::hbone_timed_out:
      return "hbone_timed_out";
    case Errc::tls:
      return "tls";
    case Errc::revoked:
      return "revoked";
    case Errc::identity:
      return "identity";
    case Errc::http2:
      return "http2";
    case Errc::http_status:
      return "http_status";
    case Errc::refused_stream:
      return "refused_stream";
    case Errc::denied:
      return "denied";
    case Errc::policy_changed:
      return "policy_changed";
    case Errc::bad_request:
      return "bad_request";
    case Errc::not_found:
      return "not_found";
    case Errc::unknown_waypoint:
      return "unknown_waypoint";
    case Errc::no_healthy_upstream:
      return "no_healthy_upstream";
    case Errc::no_destination:
      return "no_destination";
    case Errc::no_route:
      return "no_route";
    case Errc::self_call:
      return "self_call";
    case Errc::ip_mismatch:
      return "ip_mismatch";
    case Errc::overloaded:
      return "overloaded";
    case Errc::draining:
      return "draining";
    case Errc::invalid:
      return "invalid";
    case Errc::io:
      return "io";
  }
  return "unknown";
}

Error os_error(Errc code, std::string_view what, int err) {
  char text[128];
  return {code, fmt::format("{}: {} (os error {})", what, strerror_r(err, text, sizeof text), err)};
}

}  // namespace ambientd
