// SPDX-License-Identifier: Apache-2.0
// Random bytes for identifiers (trace contexts, request ids, nonces), a few at a time. The generator's own
// bytes, drawn many at once, because asking it costs far more than an identifier. Not for keys: what is drawn
// lies in memory until it is used.
#pragma once

#include <cstdint>
#include <span>

namespace ambientd {

void random_bytes(
    std::span<uint8_t> out);  // ends the process if there is no randomness: then there is no TLS either

}  // namespace ambientd
