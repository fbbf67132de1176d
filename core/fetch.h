// SPDX-License-Identifier: Apache-2.0
// One small document from a web server, for what the process itself needs to know (an issuer's keys): GET
// over HTTP/1.1, https with the system's roots. Bounded in time and size, and no redirect is followed.
//
// The rule: who wrote the URL is not who runs this pod (GHSA-fgw5-hp8f-xfhc). Addresses of the pod itself and
// of its link (metadata services live there) are never connected to, whatever name leads to them.
#pragma once

#include <cstdint>
#include <string>

#include "core/ip.h"
#include "core/result.h"
#include "core/scope.h"
#include "core/task.h"
#include "core/url.h"

namespace ambientd {

struct FetchLimits {
  uint64_t timeout_ms = 5'000;  // for all of it
  size_t body = 1 << 20;        // bytes
  uint32_t mark = 0;            // SO_MARK; 0: none
  bool own_host = false;        // loopback as well: for tests
};

// Whether fetches may go to the address: no loopback, link-local, multicast or unspecified one.
bool may_fetch_from(const Ip& ip);

// The body of the 200 answer. Errors: timed_out, denied (an address above), http_status, bad_request (no
// HTTP, or too large), those of resolve(), connect() and TLS, or what closes the scope. The detail names the
// URL.
Task<Result<std::string>> fetch(Url url, FetchLimits limits, Scope& scope);

}  // namespace ambientd
