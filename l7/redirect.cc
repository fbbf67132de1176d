// SPDX-License-Identifier: Apache-2.0
#include "l7/redirect.h"

#include <fmt/format.h>

#include "core/text.h"
#include "l7/rewrite.h"

namespace ambientd::l7 {
namespace {

using Port = config::Redirect::Port;

uint16_t default_port(std::string_view scheme) {
  if (equals_ignore_case(scheme, "http")) return 80;
  return equals_ignore_case(scheme, "https") ? 443 : 0;
}

// `host:port` taken apart; an IPv6 address keeps its brackets.
struct HostPort {
  std::string_view host, port;
};

HostPort taken_apart(std::string_view authority) {
  size_t colon = authority.rfind(':');
  size_t bracket = authority.rfind(']');
  if (colon == authority.npos || (bracket != authority.npos && colon < bracket)) return {authority, ""};
  return {authority.substr(0, colon), authority.substr(colon + 1)};
}

// What follows the host: empty, or `:port`.
std::string port_part(const config::Redirect& redirect, std::string_view given, std::string_view scheme,
                      const Request& request, uint16_t called) {
  uint16_t usual = default_port(scheme);
  auto written = [&](uint16_t port) { return port == usual ? "" : fmt::format(":{}", port); };
  switch (redirect.port_from) {
    case Port::given:
      return written(redirect.port);
    case Port::of_request:
      return written(called);
    case Port::of_scheme:
      return "";
    case Port::keep:
      break;
  }
  std::optional<uint64_t> port = parse_uint(given);
  bool of_old_scheme = scheme != request.scheme && port == default_port(request.scheme);
  return given.empty() || of_old_scheme ? "" : fmt::format(":{}", given);
}

}  // namespace

std::string location(const config::Redirect& redirect, const config::PathMatch& match, const Request& request,
                     uint16_t port) {
  const std::string& scheme = redirect.scheme.empty() ? request.scheme : redirect.scheme;
  HostPort from = taken_apart(redirect.authority.empty() ? request.authority : redirect.authority);
  std::string path = redirect.path ? changed(*redirect.path, match, request.path) : request.path;
  return fmt::format("{}://{}{}{}", scheme, from.host, port_part(redirect, from.port, scheme, request, port),
                     path);
}

}  // namespace ambientd::l7
