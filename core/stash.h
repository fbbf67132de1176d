// SPDX-License-Identifier: Apache-2.0
// Bytes that had to be kept: a queue that owns nothing while it is empty, so an idle stream costs nothing.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace ambientd {

class Stash {
 public:
  bool empty() const { return at_ == bytes_.size(); }
  size_t size() const { return bytes_.size() - at_; }
  std::span<const uint8_t> bytes() const { return {bytes_.data() + at_, size()}; }
  iovec iov() const { return {const_cast<uint8_t*>(bytes_.data()) + at_, size()}; }

  void append(const void* data, size_t n) {
    if (at_ > 0 && at_ >= size()) {  // more hole than bytes: close it
      std::memmove(bytes_.data(), bytes_.data() + at_, size());
      bytes_.resize(size());
      at_ = 0;
    }
    const auto* from = static_cast<const uint8_t*>(data);
    bytes_.insert(bytes_.end(), from, from + n);
  }
  void drop(size_t n) {
    at_ += n;
    if (empty()) {
      std::vector<uint8_t>().swap(bytes_);
      at_ = 0;
    }
  }

 private:
  std::vector<uint8_t> bytes_;
  size_t at_ = 0;
};

}  // namespace ambientd
