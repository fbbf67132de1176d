// SPDX-License-Identifier: Apache-2.0
#include "core/poll.h"

#include "core/loop.h"

namespace ambientd {

Poll::Poll(int fd, Waiter* reader, Waiter* writer, Drain* drain)
    : handle_(new uv_poll_t), reader_(reader), writer_(writer), drain_(drain) {
  uv_poll_init(Loop::current().uv(), handle_, fd);
  handle_->data = this;
}

Poll::~Poll() {
  handle_->data = nullptr;
  uv_close(reinterpret_cast<uv_handle_t*>(handle_),
           [](uv_handle_t* closed) { delete reinterpret_cast<uv_poll_t*>(closed); });
}

void Poll::want_read() { update(registered_ | UV_READABLE); }

void Poll::want_write() { update(registered_ | UV_WRITABLE); }

void Poll::update(int events) {
  if (events == registered_) return;
  registered_ = events;
  if (events == 0) {
    uv_poll_stop(handle_);
  } else {
    uv_poll_start(handle_, events, on_event);
  }
}

void Poll::on_event(uv_poll_t* handle, int status, int events) {
  Poll* self = static_cast<Poll*>(handle->data);
  if (!self) return;
  if (status < 0) {  // libuv has stopped it; recv or send will tell the error
    self->registered_ = 0;
    events = UV_READABLE | UV_WRITABLE;
  }
  int keep = self->registered_;
  if (events & UV_READABLE) {
    self->readable_ = true;
    if (!self->reader_ || !self->reader_->waiting()) keep &= ~UV_READABLE;
    if (self->reader_) self->reader_->wake();
  }
  if (events & UV_WRITABLE) {
    self->writable_ = true;
    bool drained = !self->drain_ || self->drain_->drain();
    if (drained) keep &= ~UV_WRITABLE;  // writing rarely blocks twice in a row
    if (drained && self->writer_) self->writer_->wake();
  }
  self->update(keep);
}

}  // namespace ambientd
