// SPDX-License-Identifier: Apache-2.0
// Bytes that had to be kept: a Buffer that owns nothing while it is empty, so an idle stream costs nothing.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <span>

#include "core/buffer.h"

namespace ambientd {

class Stash {
 public:
  bool empty() const { return buffer_.empty(); }
  size_t size() const { return buffer_.size(); }
  std::span<const uint8_t> bytes() const { return buffer_.bytes(); }
  iovec iov() const { return {buffer_.data(), buffer_.size()}; }

  void append(const void* data, size_t n) { buffer_.append(data, n); }
  void drop(size_t n) {
    buffer_.drop(n);
    if (buffer_.empty()) buffer_ = Buffer();
  }
  // Keeps these bytes where they are. Only when there are none.
  void adopt(Buffer bytes) { buffer_ = std::move(bytes); }
  // The memory, when all bytes are gone and it may serve somebody else.
  Buffer release() { return std::move(buffer_); }

 private:
  Buffer buffer_;
};

}  // namespace ambientd
