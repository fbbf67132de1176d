// SPDX-License-Identifier: Apache-2.0
// Bytes in order that grow at the end and are taken from the front. New room is not initialised, so a socket
// can be read straight into it. It keeps its memory when it is emptied: who may be idle for long
// moves it away (Loop::give_buffer).
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <span>
#include <utility>

namespace ambientd {

class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept
      : memory_(std::exchange(other.memory_, nullptr)),
        begin_(std::exchange(other.begin_, 0)),
        end_(std::exchange(other.end_, 0)),
        capacity_(std::exchange(other.capacity_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(begin_, other.begin_);
    std::swap(end_, other.end_);
    std::swap(capacity_, other.capacity_);
    return *this;
  }
  ~Buffer() { std::free(memory_); }

  bool empty() const { return begin_ == end_; }
  size_t size() const { return end_ - begin_; }
  size_t capacity() const { return capacity_; }
  uint8_t* data() const { return memory_ + begin_; }
  std::span<const uint8_t> bytes() const { return {data(), size()}; }

  // Room for n bytes (below 2 GiB in all) after the last one; what is written there counts once grow() says
  // so.
  uint8_t* room(size_t n) {
    if (capacity_ - end_ < n) make_room(n);
    return memory_ + end_;
  }
  void grow(size_t n) { end_ += static_cast<uint32_t>(n); }

  void append(const void* from, size_t n) {
    if (n == 0) return;
    std::memcpy(room(n), from, n);
    grow(n);
  }
  void drop(size_t n) {  // from the front
    begin_ += static_cast<uint32_t>(n);
    if (begin_ == end_) begin_ = end_ = 0;
  }
  void clear() { begin_ = end_ = 0; }

 private:
  void make_room(size_t n) {
    if (begin_ >= size()) {  // more hole than bytes: close it
      if (!empty()) std::memmove(memory_, data(), size());
      end_ -= begin_;
      begin_ = 0;
    }
    if (capacity_ - end_ >= n) return;
    size_t wanted = capacity_ * size_t{2} > end_ + n ? capacity_ * size_t{2} : end_ + n;
    void* larger = std::realloc(memory_, wanted);
    if (!larger) throw std::bad_alloc();
    memory_ = static_cast<uint8_t*>(larger);
    capacity_ = static_cast<uint32_t>(wanted);
  }

  uint8_t* memory_ = nullptr;
  uint32_t begin_ = 0, end_ = 0, capacity_ = 0;
};

}  // namespace ambientd
