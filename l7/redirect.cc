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

// Where `:port` begins, if there is one; an IPv6 address keeps its brackets.
size_t end_of_host(std::string_view authority) {
  size_t colon = authority.rfind(':'), bracket = authority.rfind(']');
  bool has_port = colon != authority.npos && (bracket == authority.npos || bracket < colon);
  return has_port ? colon : authority.size();
}

// What follows the host: empty, or `:port`. `given` is what follows it now.
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
  if (given.size() < 2) return "";
  std::optional<uint64_t> port = parse_uint(given.substr(1));
  bool of_old_scheme = scheme != request.scheme && port == default_port(request.scheme);
  return of_old_scheme ? "" : std::string(given);
}

}  // namespace

std::string location(const config::Redirect& redirect, const config::PathMatch& match, const Request& request,
                     uint16_t port) {
  const std::string& scheme = redirect.scheme.empty() ? request.scheme : redirect.scheme;
  std::string_view from = redirect.authority.empty() ? request.authority : redirect.authority;
  size_t end = end_of_host(from);
  std::string path = redirect.path ? changed(*redirect.path, match, request.path) : request.path;
  return fmt::format("{}://{}{}{}", scheme, from.substr(0, end),
                     port_part(redirect, from.substr(end), scheme, request, port), path);
}

}  // namespace ambientd::l7
