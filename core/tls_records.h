// SPDX-License-Identifier: Apache-2.0
// What TLS over a socket and TLS over another Stream have in common: OpenSSL between two buffers. Each call
// starts with an empty error queue, because one connection's leftovers would be taken for the next one's.
#pragma once

#include <openssl/types.h>
#include <sys/uio.h>

#include <cstdint>
#include <optional>
#include <span>

#include "core/result.h"

namespace ambientd {

constexpr size_t kTlsRecord = 16 << 10;  // plain bytes of one at most (RFC 8446 §5.1)

// One step of a handshake. False: more has to come from the peer. Errors: tls, identity.
Result<bool> shake_hands(SSL* ssl);

// What became of the bytes OpenSSL was given.
struct Opened {
  size_t n = 0;       // plain bytes in the room, from its front
  bool full = false;  // it had no room for more
  bool eof = false;   // the peer said close_notify
  std::optional<Error> error;
};
Opened open_records(SSL* ssl, std::span<uint8_t> room);

// All of it, into a BIO that takes everything.
Status seal_records(SSL* ssl, const iovec& plain);

// AES-GCM keys may protect 2^24.5 records (RFC 8446 §5.5); OpenSSL does not rekey by itself.
class Rekey {
 public:
  void after(uint32_t records) { after_ = records; }
  void count(SSL* ssl, size_t bytes);  // plain, of one write

 private:
  uint32_t after_ = 1u << 23;
  uint32_t records_ = 0;  // sent under the current key
};

}  // namespace ambientd
