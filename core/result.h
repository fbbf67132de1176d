// SPDX-License-Identifier: Apache-2.0
// What anything that can fail returns: a value, or an Error that says what went wrong in the operator's
// words. Errc is one closed list for the whole program. It says *what happened*, not what to answer: the only
// tables from Errc to a status, a flag or a wire code are l4/outcome.cc and l7/outcome.cc.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace ambientd {

enum class Errc {
  closed,            // ended by our own side (the scope's owner is gone)
  eof,               // the peer ended where more was due
  reset,             // the peer reset the connection or the stream
  connect_refused,   // TCP said no
  connect_failed,    // any other failure of connect(): unreachable, no address, bind
  timed_out,         // a deadline passed
  hbone_timed_out,   // a dial to port 15008 got no answer: often a NetworkPolicy
  tls,               // handshake, certificate or record failure
  revoked,           // the peer's certificate has been revoked
  identity,          // the peer's certificate is good but not the one expected; or we have none ourselves
  http2,             // HTTP/2 session failure
  http_status,       // the peer answered a CONNECT with something other than 200
  refused_stream,    // REFUSED_STREAM or beyond GOAWAY: provably not processed
  denied,            // policy said no
  policy_changed,    // policy said no later
  bad_request,       // what a peer sent cannot be understood
  not_found,         // a lookup found nothing
  unknown_waypoint,  // a waypoint is configured but cannot be resolved
  no_healthy_upstream,
  no_destination,  // a workload that nothing can reach
  no_route,
  self_call,    // a call to one of the proxy's own ports
  ip_mismatch,  // the CONNECT authority is not an address of the pod that was dialled
  overloaded,   // one of our bounds was reached
  draining,     // we are going away
  invalid,      // configuration that does not parse or contradicts itself
  io,           // any other system error
};

// The enumerator's name, for logs and tests.
std::string_view name(Errc code);

struct Error {
  Errc code;
  std::string detail;  // what was tried, on whom, what it may mean: `connect 10.0.0.7:80: Connection refused`
};

template <class T>
using Result = std::expected<T, Error>;
using Status = Result<void>;

inline std::unexpected<Error> fail(Errc code, std::string detail) {
  return std::unexpected(Error{code, std::move(detail)});
}
inline std::unexpected<Error> fail(Error error) { return std::unexpected(std::move(error)); }

// An Error from an errno value: `connect 10.0.0.7:80: Connection refused (os error 111)`, the way peers print
// it.
Error os_error(Errc code, std::string_view what, int err);

}  // namespace ambientd
