// SPDX-License-Identifier: Apache-2.0
// What becomes of a client's header fields on their way to the upstream (contract/waypoint.md §3.1, §1.10): a
// waypoint trusts none of the fields that steer a proxy, and takes out what was meant for one hop only.
#pragma once

#include <expected>
#include <optional>
#include <string>

#include "config/route.h"
#include "l7/message.h"
#include "l7/outcome.h"

namespace ambientd::l7 {

// To be called once, on fields as the codec read them (connection and the like still in), after the codec has
// taken what they mean into the members, and before policy. It
//   removes hop-by-hop fields and those Connection nominates, and host; reduces te to `trailers`;
//   removes the internal x-envoy-* fields and x-forwarded-client-cert; joins cookie lines (RFC 9113 §8.2.3);
//   normalises the path;
//   adds x-forwarded-proto (http) and x-request-id (UUIDv4) when absent, and takes :scheme from the former.
// x-forwarded-for stays as it came. Fails with what to answer: missing_host, bad_path, bad_connection_header
// (more than nine nominations, or of an x-forwarded-* field, host or content-length), upgrade_refused (an
// upgrade other than websocket, CONNECT; h2c is only an offer and is dropped).
std::expected<void, Cause> clean_request(Request& request);

// Route operations, and then the backend's: remove, set, add, in that order. Setting `host` or `:authority`
// replaces the authority; other pseudo fields, and those that frame a message or belong to one hop, are left
// alone.
void apply(const config::HeaderOps& ops, Request& request);

// The same on plain fields, where there is no authority to set; for responses.
void apply(const config::HeaderOps& ops, Fields& fields);

// The last address of x-forwarded-for when that is one: remoteIpBlocks compares it (else the tunnel's peer).
std::optional<Ip> forwarded_address(const Request& request);

std::string new_request_id();  // UUIDv4, random

// Fields that belong to one connection: connection, keep-alive, proxy-connection, transfer-encoding, upgrade.
bool is_hop_by_hop(std::string_view name);

}  // namespace ambientd::l7
