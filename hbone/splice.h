// SPDX-License-Identifier: Apache-2.0
// splice() joins an application's socket and a tunnel until both directions have ended: relay() for the pair
// that nearly all traffic flows through.
//
// What the application sends is read straight into its session's batch, behind room left for the DATA frame's
// header, so between two kernel buffers our side touches a byte only to encrypt it. It is read only once
// there is window and room for it, so it waits in the socket, where TCP tells the application. The other way
// the generic pump is as short as it gets: DATA goes to the socket from where TLS decrypted it.
#pragma once

#include <cstdint>

#include "core/relay.h"
#include "core/result.h"
#include "core/stream.h"
#include "core/task.h"
#include "core/tcp_stream.h"

namespace ambientd::hbone {

// As relay(), as a part of the story: see Pumps. `sent`: bytes from the application into the tunnel;
// `received`: the other way. A tunnel that is no Exchange (plain TCP) is relayed.
Pumps splice(TcpStream& app, Stream& tunnel, uint64_t& sent, uint64_t& received);

}  // namespace ambientd::hbone
