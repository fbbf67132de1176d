// SPDX-License-Identifier: Apache-2.0
// The only table from what happened (Errc) to what a peer, a metric and a log line are told about it
// (contract/ztunnel.md §4, §5.2, §5.6, §12).
#pragma once

#include <string>
#include <string_view>

#include "core/result.h"
#include "core/scope.h"

namespace ambientd::l4 {

// The status that answers a CONNECT which failed for this reason: 400, 401 or 503.
int connect_status(Errc code);

// The `response_flags` label of a connection that ended this way: `-`, DENY, CONNECT, TLS_FAILURE,
// H2_HANDSHAKE_FAILURE, NETWORK_POLICY, CERT_REVOKED or IDENTITY_ERROR.
std::string_view response_flag(Errc code);

// The `error` of its log line.
std::string error_text(const Error& error);

// An end that is the application's or the peer's business and no failure of the connection: a reset once
// bytes were flowing.
bool is_clean_end(Errc code);
// How a relay ended, as it is reported: what closed the scope comes first.
Status relay_outcome(const Scope& scope, Status ended);

}  // namespace ambientd::l4
