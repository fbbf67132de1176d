// SPDX-License-Identifier: Apache-2.0
// A peer that says what it was told to say, piece by piece, then ends; whatever is written to it is thrown
// away.
#pragma once

#include <algorithm>
#include <optional>
#include <span>

#include "core/stream.h"

namespace ambientd::test {

class Replay final : public Stream {
 public:
  // Lends `piece` bytes at a time, takes `room` at a time. The bytes outlive it.
  Replay(std::span<const uint8_t> bytes, size_t piece, size_t room)
      : bytes_(bytes), piece_(piece), room_(room) {}

  void consume(size_t n) override { bytes_ = bytes_.subspan(n); }
  void finish() override {}
  void close(Errc why) override {
    if (!error_) error_ = Error{why, std::string(name(why))};
    reader_.wake();
    writer_.wake();
  }

 private:
  bool poll_read(Result<Chunk>& out) override {
    if (error_) {
      out = fail(*error_);
    } else if (bytes_.empty()) {
      out = Chunk{.eof = true};
    } else {
      lent_ = {const_cast<uint8_t*>(bytes_.data()), std::min(piece_, bytes_.size())};
      out = Chunk{.data = {&lent_, 1}};
    }
    return true;
  }
  bool poll_write(std::span<const iovec> data, Result<size_t>& out) override {
    out = std::min(total(data), room_);
    if (error_) out = fail(*error_);
    return true;
  }

  std::span<const uint8_t> bytes_;
  size_t piece_, room_;
  iovec lent_{};
  std::optional<Error> error_;
};

}  // namespace ambientd::test
