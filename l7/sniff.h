// SPDX-License-Identifier: Apache-2.0
// What a client speaks on a port that does not say: an HTTP/1 request line, the HTTP/2 preface, or anything
// else (contract/waypoint.md §1.5). A client that sends nothing is waited for, so server-first protocols need
// a port that is named tcp.
#pragma once

#include <string>
#include <string_view>

#include "core/stash.h"
#include "core/stream.h"
#include "core/task.h"

namespace ambientd::l7 {

enum class Sniffed : uint8_t { more, http1, http2, other };

// What the first bytes are; `more` while they could still become several things. Decides within 8 KiB.
Sniffed sniff(std::string_view first_bytes);

// A Stream whose first bytes can be looked at before they are read. `transport` outlives it and is used
// through it only.
class Peeked final : public Stream {
 public:
  explicit Peeked(Stream& transport) : transport_(transport) { view(transport); }

  // Waits until it is decided. A client that ends before is `other`. Errors: the transport's.
  Task<Result<Sniffed>> detect();

  void consume(size_t n) override;
  void finish() override { transport_.finish(); }
  void close(Errc why) override { transport_.close(why); }

 private:
  bool poll_read(Result<Chunk>& out) override;
  bool poll_write(std::span<const iovec> data, Result<size_t>& out) override {
    return transport_.try_write(data, out);
  }

  Stream& transport_;
  Stash first_;  // read from the transport and not yet from here
  iovec lent_{};
};

}  // namespace ambientd::l7
