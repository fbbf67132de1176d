// SPDX-License-Identifier: Apache-2.0
// Two ends of a pipe in memory, each a Stream as TLS is one: what arrives is put into the loop's plain buffer
// and lent from there. What a session costs over it, it costs by itself: no socket, no cipher.
#pragma once

#include <algorithm>
#include <cstring>

#include "core/loan.h"
#include "core/loop.h"
#include "core/stream.h"

namespace ambientd::bench {

class MemoryStream final : public Stream {
 public:
  static void join(MemoryStream& a, MemoryStream& b) {
    a.peer_ = &b;
    b.peer_ = &a;
  }

  void consume(size_t n) override { loan_.consume(n); }
  void finish() override {
    peer_->eof_ = true;
    peer_->reader_.wake();
  }
  void close(Errc) override { finish(); }

 private:
  static constexpr size_t kRoom = 256 << 10;  // bytes on their way, as a socket would hold

  bool poll_read(Result<Chunk>& out) override {
    if (loan_.lend(out)) return true;
    if (arrived_.empty()) {
      if (eof_) out = Chunk{.eof = true};
      return eof_;
    }
    std::span<uint8_t> room = Loop::current().plain().take();
    size_t n = std::min(room.size(), arrived_.size());
    std::memcpy(room.data(), arrived_.data(), n);
    arrived_.erase(arrived_.begin(), arrived_.begin() + static_cast<ptrdiff_t>(n));
    loan_.take(room.first(n), Loop::current().plain());
    peer_->writer_.wake();
    return loan_.lend(out);
  }

  bool poll_write(std::span<const iovec> data, Result<size_t>& out) override {
    size_t took = 0;
    for (const iovec& piece : data) {
      size_t n = std::min(piece.iov_len, kRoom - peer_->arrived_.size());
      const auto* from = static_cast<const uint8_t*>(piece.iov_base);
      peer_->arrived_.insert(peer_->arrived_.end(), from, from + n);
      took += n;
    }
    if (took == 0 && !data.empty()) return false;
    if (took > 0) peer_->reader_.wake();
    out = took;
    return true;
  }

  MemoryStream* peer_ = nullptr;
  std::vector<uint8_t> arrived_;  // keeps its memory
  Loan loan_;
  bool eof_ = false;
};

}  // namespace ambientd::bench
