// SPDX-License-Identifier: Apache-2.0
// The story of the JWT filter (l7/authenticate.h): the token of a request is believed by the rules of the
// view the request is judged by. While the keys of those have never been fetched the request waits, and is
// judged anew.
#pragma once

#include <expected>

#include "l7/codec.h"
#include "l7/plan.h"
#include "l7/worker.h"

namespace ambientd::l7 {

// Null: the request has none, and may go on.
using Believed = std::expected<policy::VerifiedTokenPtr, Refusal>;

bool checks_tokens(const View& view);  // whether any rule does

// Refusals: a token that none believes, and client_gone. `worker` has a view and outlives it, as do the
// others.
Task<Believed> believe(Worker& worker, const Tunnel& tunnel, ServerExchange& client);

}  // namespace ambientd::l7
