// SPDX-License-Identifier: Apache-2.0
// The CONNECT of HBONE and its headers, byte for byte as peers expect them (contract/ztunnel.md §5.2).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/ip.h"
#include "core/result.h"
#include "hbone/headers.h"

namespace ambientd::hbone {

// Who sends, or who answered: comma-joined, no escaping, empty items left out.
struct Baggage {
  std::string cluster, ns;
  std::string workload_type;  // deployment, cronjob, pod or job
  std::string workload_name;
  std::string service_name, service_version;  // canonical
  std::string region, zone;

  bool operator==(const Baggage&) const = default;
  std::string str() const;
  static Baggage parse(std::string_view header);  // unknown items are skipped; never fails
};

struct Connect {
  std::string authority;  // `10.0.0.7:80`, `[fd00::7]:80` or `host:80`
  std::optional<std::string> baggage, forwarded, traceparent, forwarded_network;

  Headers headers() const& { return Connect(*this).headers(); }
  Headers headers() &&;
  // Errc::bad_request: not a CONNECT, or an authority without host and port.
  static Result<Connect> parse(const Headers& headers);
};

// `for="10.0.0.1:80"`, with `;host=…` when the application meant a service.
std::string forwarded_for(const SockAddr& source, std::string_view host);
// The `host=` of it: case-sensitive key, optional quotes; nothing when absent or not ASCII.
std::optional<std::string> forwarded_host(std::string_view header);

std::string new_traceparent();  // `00-<32 hex>-<16 hex>-00`, random

// The status of a response; 0 when there is none that parses.
int status_of(const Headers& headers);
// `401 Unauthorized`, as the peers print it.
std::string status_text(int status);

}  // namespace ambientd::hbone
