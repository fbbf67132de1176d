// SPDX-License-Identifier: Apache-2.0
// A connection as it is reported: who calls whom, for what, over what.
#pragma once

#include <cstdint>
#include <string>

#include "config/model.h"
#include "core/ip.h"
#include "hbone/connect.h"

namespace ambientd::l4 {

enum class Direction : uint8_t { outbound, inbound };

struct Flow {
  Direction direction = Direction::outbound;
  config::WorkloadPtr source, destination;       // null: not of the mesh, as far as we know
  hbone::Baggage baggage;                        // what the peer says of itself; counts when that is null
  config::ServicePtr service;                    // the service that was meant
  std::string source_identity, target_identity;  // URIs, when mutual TLS has proved them
  bool mutual_tls = false;
  SockAddr from, to;      // inbound HBONE: the two ends of the connection that carries it
  std::string authority;  // of the CONNECT; empty: no HBONE
};

}  // namespace ambientd::l4
