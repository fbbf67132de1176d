// SPDX-License-Identifier: Apache-2.0
#include "core/poll.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include "core/loop.h"

namespace ambientd {

void Poll::want_read() { update(registered_ | EPOLLIN); }

void Poll::want_write() { update(registered_ | EPOLLOUT); }

void Poll::update(uint32_t events) {
  if (events == registered_) return;
  bool watched = Loop::current().watch(fd_, *this, registered_, events);
  registered_ = events;
  if (watched || events == 0) return;
  // No memory, or fs.epoll.max_user_watches is reached: nobody would ever wake who waits. The connection
  // ends.
  registered_ = 0;
  ::shutdown(fd_, SHUT_RDWR);
  on_event(EPOLLHUP);
}

void Poll::on_event(uint32_t events) {
  if (events & (EPOLLERR | EPOLLHUP)) events |= EPOLLIN | EPOLLOUT;  // recv or send will tell
  uint32_t keep = registered_;
  if (events & EPOLLIN) {
    readable_ = true;
    if (!reader_ || !reader_->waiting()) keep &= ~static_cast<uint32_t>(EPOLLIN);
    if (reader_) reader_->wake();
  }
  if (events & EPOLLOUT) {
    writable_ = true;
    bool drained = !drain_ || drain_->drain();
    if (drained) keep &= ~static_cast<uint32_t>(EPOLLOUT);  // writing rarely blocks twice in a row
    if (drained && writer_) writer_->wake();
  }
  update(keep);
}

}  // namespace ambientd
