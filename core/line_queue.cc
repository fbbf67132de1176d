// SPDX-License-Identifier: Apache-2.0
#include "core/line_queue.h"

#include <utility>

namespace ambientd {
namespace {

constexpr size_t kKept = 64 << 10;  // bytes of room: what a burst took beyond that is given back

}  // namespace

LineQueue::LineQueue(size_t most, std::function<void(std::string_view)> write)
    : most_(most), write_(std::move(write)), thread_([this] { run(); }) {}

LineQueue::~LineQueue() {
  {
    std::lock_guard hold(lock_);
    ending_ = true;
  }
  filled_.notify_one();
  thread_.join();
}

void LineQueue::add(std::string_view line) {
  std::unique_lock hold(lock_);
  emptied_.wait(hold, [this] { return lines_ < most_; });
  pending_.append(line).push_back('\n');
  bool first = lines_++ == 0;
  hold.unlock();
  if (first) filled_.notify_one();
}

void LineQueue::run() {
  for (std::string batch; take(batch);) {
    write_(batch);
    batch.clear();
    if (batch.capacity() > kKept) std::string().swap(batch);
  }
}

bool LineQueue::take(std::string& batch) {
  std::unique_lock hold(lock_);
  filled_.wait(hold, [this] { return lines_ > 0 || ending_; });
  if (lines_ == 0) return false;
  std::swap(batch, pending_);
  bool full = std::exchange(lines_, 0) >= most_;
  hold.unlock();
  if (full) emptied_.notify_all();
  return true;
}

}  // namespace ambientd
