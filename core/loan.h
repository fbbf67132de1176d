// SPDX-License-Identifier: Apache-2.0
// The bytes a Stream has read and its reader has not consumed: in the loop's buffer while they may stay
// there, saved when that is about to be reused, never both. An empty Loan owns nothing.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <span>

#include "core/scratch.h"
#include "core/stash.h"
#include "core/stream.h"

namespace ambientd {

class Loan final : private Borrower {
 public:
  // New bytes, lying in `home`. Only when nothing is left of the former ones.
  void take(std::span<uint8_t> bytes, Scratch& home) {
    lent_ = {bytes.data(), bytes.size()};
    home_ = &home;
    home.lend(*this);
  }

  // Sets `out` to what is left; false when nothing is.
  bool lend(Result<Chunk>& out) {
    bool saved = !kept_.empty();
    if (saved) lent_ = kept_.iov();
    if (lent_.iov_len == 0) return false;
    out = Chunk{.data = {&lent_, 1}, .home = saved ? nullptr : home_};
    return true;
  }

  void consume(size_t n) {
    if (!kept_.empty()) {
      kept_.drop(n);
      lent_ = {};
      return;
    }
    lent_.iov_base = static_cast<uint8_t*>(lent_.iov_base) + n;
    lent_.iov_len -= n;
    if (lent_.iov_len == 0) Borrower::unlink();
  }

 private:
  void stash() override {
    kept_.append(lent_.iov_base, lent_.iov_len);
    lent_ = {};
  }

  iovec lent_{};
  Stash kept_;
  Scratch* home_ = nullptr;
};

}  // namespace ambientd
