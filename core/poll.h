// SPDX-License-Identifier: Apache-2.0
// Readiness of one file descriptor on this thread's loop. It keeps the kernel registration in step with what
// is waited for, lazily: an event nobody waits for is remembered and unregistered, because a level-triggered
// descriptor that is paused or dead would spin the loop. The descriptor outlives its Poll, unless forget() is
// called when it is about to be closed.
#pragma once

#include <cstdint>

#include "core/wait.h"

namespace ambientd {

// Who has bytes of its own to send before its writer may go on.
class Drain {
 public:
  virtual bool drain() = 0;  // the descriptor is writable: send; true when nothing is left

 protected:
  ~Drain() = default;
};

class Poll {
 public:
  // Woken when its event comes; any may be null when it is never waited for.
  Poll(int fd, Waiter* reader, Waiter* writer, Drain* drain = nullptr)
      : fd_(fd), reader_(reader), writer_(writer), drain_(drain) {}
  ~Poll() { update(0); }
  Poll(const Poll&) = delete;

  bool readable() const { return readable_; }
  bool writable() const { return writable_; }
  void not_readable() { readable_ = false; }  // a short read, or EAGAIN
  void not_writable() { writable_ = false; }
  void want_read();  // wake the reader when something can be read (or the descriptor failed)
  void want_write();
  void forget() { registered_ = 0; }  // closing the descriptor unregisters it

 private:
  friend class Loop;
  void on_event(uint32_t events);
  void update(uint32_t events);

  int fd_;
  uint32_t registered_ = 0;  // EPOLLIN | EPOLLOUT as the kernel has it
  Waiter* reader_;
  Waiter* writer_;
  Drain* drain_;
  bool readable_ = false;
  bool writable_ = true;
};

}  // namespace ambientd
