// SPDX-License-Identifier: Apache-2.0
#include "l4/outcome.h"

#include "test/support/catch.h"

using namespace ambientd;
using namespace ambientd::l4;

TEST_CASE("every failure has its status, flag and text") {
  struct Case {
    Error error;
    int status;
    const char* flag;
    const char* text;
  };
  const Case cases[] = {
      {{Errc::bad_request, "expected method CONNECT, got GET"},
       400,
       "CONNECT",
       "expected method CONNECT, got GET"},
      {{Errc::ip_mismatch, "ip mismatch: 10.0.0.1 != 10.0.0.2"},
       400,
       "CONNECT",
       "ip mismatch: 10.0.0.1 != 10.0.0.2"},
      {{Errc::denied, "explicitly denied by: ns/p"},
       401,
       "DENY",
       "connection closed due to policy rejection: explicitly denied by: ns/p"},
      {{Errc::policy_changed, ""}, 401, "DENY", "connection closed due to policy change"},
      {{Errc::self_call, ""}, 503, "CONNECT", "attempted recursive call to ourselves"},
      {{Errc::connect_refused, "connect 10.0.0.1:80: Connection refused (os error 111)"},
       503,
       "CONNECT",
       "connection failed: connect 10.0.0.1:80: Connection refused (os error 111)"},
      {{Errc::io, "socket: Too many open files (os error 24)"},
       503,
       "CONNECT",
       "io error: socket: Too many open files (os error 24)"},
      {{Errc::hbone_timed_out, "connection timed out, maybe a NetworkPolicy is blocking HBONE port 15008: x"},
       503,
       "NETWORK_POLICY",
       "connection timed out, maybe a NetworkPolicy is blocking HBONE port 15008: x"},
      {{Errc::http_status, "http status: 401 Unauthorized"}, 503, "CONNECT", "http status: 401 Unauthorized"},
      {{Errc::http2, "stream reset by the peer: PROTOCOL_ERROR"},
       503,
       "H2_HANDSHAKE_FAILURE",
       "h2 failed: stream reset by the peer: PROTOCOL_ERROR"},
      {{Errc::http2, "h2 failed: once"}, 503, "H2_HANDSHAKE_FAILURE", "h2 failed: once"},
      {{Errc::tls, "tls error: x"}, 503, "TLS_FAILURE", "tls error: x"},
      {{Errc::revoked, "http2 connection closed: revoked"},
       503,
       "CERT_REVOKED",
       "connection closed: peer certificate revoked by CRL"},
      {{Errc::revoked, "invalid peer certificate: revoked (x)"},
       503,
       "CERT_REVOKED",
       "invalid peer certificate: revoked (x)"},
      {{Errc::identity, "identity error: x"}, 503, "IDENTITY_ERROR", "identity error: x"},
      {{Errc::draining, ""}, 503, "-", "connection closed due to connection drain"},
      {{Errc::no_healthy_upstream, "no healthy upstream: 10.0.0.1:80"},
       503,
       "CONNECT",
       "no healthy upstream: 10.0.0.1:80"},
  };
  for (const Case& c : cases) {
    INFO(c.text);
    CHECK(connect_status(c.error.code) == c.status);
    CHECK(response_flag(c.error.code) == c.flag);
    CHECK(error_text(c.error) == c.text);
  }
}

TEST_CASE("a reset while bytes flow is no failure of the connection") {
  CHECK(is_clean_end(Errc::reset));
  CHECK_FALSE(is_clean_end(Errc::http2));
  CHECK_FALSE(is_clean_end(Errc::timed_out));
}
