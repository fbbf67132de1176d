// SPDX-License-Identifier: Apache-2.0
// WebSocket's handshake fields where one side speaks HTTP/1.1 (RFC 6455 §4) and the other HTTP/2, which does
// without them (RFC 8441 §5): the key is made up for the one, the accept computed for the other.
#pragma once

#include <string>
#include <string_view>

#include "l7/message.h"

namespace ambientd::l7 {

// Gives a request that upgrades what HTTP/1.1 wants: a key and a version, unless they are there.
void add_websocket_key(Request& request);

// `s3pPLMBiTxaQ9kYGzzhZRbK+xOo=` for `dGhlIHNhbXBsZSBub25jZQ==`.
std::string websocket_accept(std::string_view key);

}  // namespace ambientd::l7
