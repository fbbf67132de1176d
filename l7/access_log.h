// SPDX-License-Identifier: Apache-2.0
// One line per request, in Envoy's default text format or as its JSON default (contract/waypoint.md §4.4).
// Pure: the story of a request fills a RequestLog, whoever owns the log file writes the line. What a client
// supplied is escaped so that it can forge neither a field nor a line (CVE-2024-45808).
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/ip.h"
#include "l7/message.h"

namespace ambientd::l7 {

// Empty or absent prints as `-` (null in JSON).
struct RequestLog {
  std::chrono::system_clock::time_point start;
  std::optional<Protocol> protocol;  // absent: TCP, where method, path and the like are absent too
  std::string method;
  std::string path;  // as the client meant it: before a rewrite, with query
  std::string authority, forwarded_for, user_agent, request_id;
  int status = 0;       // 0: none was sent, or TCP
  std::string flags;    // `UF`, several joined with `,`
  std::string details;  // `via_upstream`, or what l7/outcome.h says
  std::string termination_details;
  std::string transport_failure;  // why a dial failed
  uint64_t bytes_received = 0;    // body bytes from the client; TCP: all
  uint64_t bytes_sent = 0;        // body bytes to the client
  std::chrono::milliseconds duration{0};
  std::optional<std::chrono::milliseconds> upstream_time;  // x-envoy-upstream-service-time
  std::optional<SockAddr> upstream;                        // the endpoint, port included
  bool upstream_hbone = true;                              // it was reached through its ztunnel
  std::string cluster;                                     // cluster_name()
  std::optional<SockAddr> upstream_local;                  // only of a plain connection
  std::optional<SockAddr> downstream_local;                // the service's address and port
  std::optional<SockAddr> downstream_remote;               // the tunnel's peer: the client pod
  std::string server_name;                                 // SNI of the client's own TLS
  std::string route;                                       // the rule's name; empty: none matched
};

// The request's part of it: protocol, method, path, authority, and the fields the line quotes.
void describe(RequestLog& log, const Request& request);

std::string text_line(const RequestLog& log);  // with its newline
std::string json_line(const RequestLog& log);  // with its newline; keys in the order of §4.4

// `inbound-vip|80|http|reviews.default.svc.cluster.local` for a service bound to this waypoint (§1.8),
// `outbound|80||host` for another one; `tcp` in place of `http` for plain connections.
std::string cluster_name(bool bound, uint16_t port, bool http, std::string_view hostname);

}  // namespace ambientd::l7
