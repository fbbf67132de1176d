// SPDX-License-Identifier: Apache-2.0
// One large buffer that everything on a loop reads into, so that no connection owns a receive buffer.
// Bytes in it live until the next take(): whoever still needs some is a Borrower and saves them when asked.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "core/list.h"

namespace ambientd {

class Borrower : public Listed<Borrower> {
 public:
  virtual void stash() = 0;  // copy what is still unread to memory of your own, now

 protected:
  ~Borrower() = default;
};

class Scratch {
 public:
  explicit Scratch(size_t size) : size_(size), bytes_(new uint8_t[size]) {}

  // The whole buffer, free to overwrite: all borrowers have saved theirs.
  std::span<uint8_t> take() {
    while (!borrowers_.empty()) {
      Borrower& b = borrowers_.front();
      b.unlink();
      b.stash();
    }
    return {bytes_.get(), size_};
  }
  void lend(Borrower& to) { borrowers_.push_back(to); }

 private:
  size_t size_;
  std::unique_ptr<uint8_t[]> bytes_;  // not initialised: pages nobody touched cost nothing
  List<Borrower> borrowers_;
};

}  // namespace ambientd
