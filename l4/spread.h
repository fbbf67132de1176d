// SPDX-License-Identifier: Apache-2.0
// Which worker carries a call. All calls that go the same way (the same identity to the same address) go
// through one worker, their owner, so that they share one HBONE connection, its batches and its handshake. A
// worker is one core, though: while the owner is saturated, new calls go to one other worker, always the
// same, which opens a connection of its own to that peer (istio#51305, #55463). Never to more: spreading what
// a core does well costs everybody.
#pragma once

#include <cstddef>

namespace ambientd::l4 {

struct Carriers {
  size_t owner, second;  // numbers of workers; the same one when there is only one
};

// `way` is a hash of what must be equal for calls to share a connection.
Carriers carriers_of(size_t way, size_t workers);

// Whether the second one takes it; how busy they are, in percent of their time (Loop::busy).
bool relieves(unsigned owner_busy, unsigned second_busy);

}  // namespace ambientd::l4
