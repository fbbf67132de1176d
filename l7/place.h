// SPDX-License-Identifier: Apache-2.0
// Which endpoint of a service a request or connection goes to, and how it is reached (contract/waypoint.md
// §1.8, §2.3). Pure: randomness, load and what has been tried are arguments, so that a retry asks again with
// one endpoint more in `tried`.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "config/balance.h"
#include "l7/upstream.h"
#include "l7/view.h"

namespace ambientd::l7 {

// How busy this worker keeps an endpoint: of two candidates the less busy one is taken (contract §2.3).
using LoadOf = std::function<size_t(const config::Workload&)>;

struct Dice {
  uint64_t backend = 0, first = 0, second = 0;  // uniform
};

struct Picking {
  const Dice& dice;
  const LoadOf& load;
  config::Tried tried = {};  // endpoints an earlier attempt failed at
};

struct Placement {
  Destination to;
  config::WorkloadPtr endpoint;
};

// `wanted`: the address the client called, whose family the endpoint's address should have. Nothing: no
// healthy endpoint.
std::optional<Placement> place(const View& view, const config::Service& service, uint16_t service_port,
                               const Ip& wanted, const Picking& picking);

// A workload that was called by its own address.
Placement place_direct(const SockAddr& address, config::WorkloadPtr workload);

}  // namespace ambientd::l7
