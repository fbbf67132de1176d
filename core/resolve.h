// SPDX-License-Identifier: Apache-2.0
// Names to addresses, by the system's own resolver on libuv's threads: for the hosts the process itself talks
// to, and for workloads that configuration knows by a hostname only.
#pragma once

#include <string>
#include <vector>

#include "core/ip.h"
#include "core/result.h"
#include "core/scope.h"
#include "core/task.h"

namespace ambientd {

// The addresses of `host`, which may be one itself, in the resolver's order; at least one. Errors:
// no_destination, or what closes the scope.
Task<Result<std::vector<Ip>>> resolve(std::string host, Scope& scope);

}  // namespace ambientd
