// SPDX-License-Identifier: Apache-2.0
// What one CONNECT on port 15008 becomes: refused, or accepted and served as what comes out of it:
// HTTP/1.1, HTTP/2, or bytes.
#pragma once

#include <memory>
#include <optional>

#include "core/spiffe.h"
#include "hbone/connect.h"
#include "hbone/exchange.h"
#include "l7/worker.h"

namespace ambientd::l7 {

// Whose connection the tunnel came on.
struct Peer {
  SockAddr address;
  std::optional<Identity> identity;
};

// What a request on an HBONE connection asks for, and who asks. Errors: those of hbone::Connect::parse() and
// of dispatch(); not_found while the mesh does not know this waypoint.
Result<Tunnel> tunnel_of(const hbone::Headers& head, const Peer& peer, Worker& worker);

// The story of one request on an HBONE connection. Anything but CONNECT is answered 404, an authority that is
// not an address and port 400, one that is not served here 404 (contract/waypoint.md §1.4, §1.5).
Task<void> serve_tunnel(std::unique_ptr<hbone::Exchange> exchange, Peer peer, Worker& worker);

// What comes out of an accepted tunnel, until it ends.
Task<void> serve_stream(Stream& stream, Tunnel tunnel, Worker& worker);

}  // namespace ambientd::l7
