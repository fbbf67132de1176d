// SPDX-License-Identifier: Apache-2.0
#include "core/timers.h"

#include <algorithm>

namespace ambientd {

void Timer::cancel() { unlink(); }

void Timers::set(Timer& timer, uint64_t now_ms, uint64_t after_ms) {
  static constexpr uint64_t kForever = uint64_t{1} << 50;  // ms; keeps the sums below from overflowing
  after_ms = std::min(after_ms, kForever);
  // Rounded up past the current tick: never early.
  timer.due_ = std::max((now_ms + after_ms) / kTickMs + 1, now_ + 1);
  place(timer);
}

void Timers::place(Timer& timer) {
  uint64_t ahead = timer.due_ - now_;
  for (int level = 0; level < kLevels; ++level) {
    bool last = level == kLevels - 1;
    if (!last && ahead >= uint64_t{1} << (kBits * (level + 1))) continue;
    // Beyond the last level's reach a timer waits in its farthest slot and is placed again from there.
    uint64_t reach = (uint64_t{kSlots} - 1) << (kBits * level);
    uint64_t at = last ? now_ + std::min(ahead, reach) : timer.due_;
    levels_[level].slots[at >> (kBits * level) & (kSlots - 1)].push_back(timer);
    return;
  }
}

void Timers::cascade(int level) {
  if (level == kLevels) return;
  size_t slot = now_ >> (kBits * level) & (kSlots - 1);
  if (slot == 0) cascade(level + 1);
  List<Timer> due;
  due.take(levels_[level].slots[slot]);
  while (!due.empty()) place(due.front());
}

void Timers::advance(uint64_t now_ms) {
  for (uint64_t target = now_ms / kTickMs; now_ < target;) {
    ++now_;
    size_t slot = now_ & (kSlots - 1);
    if (slot == 0) cascade(1);
    List<Timer> due;
    due.take(levels_[0].slots[slot]);
    while (!due.empty()) {
      Timer& timer = due.front();
      timer.cancel();
      timer.expired_();
    }
  }
}

std::optional<uint64_t> Timers::next(uint64_t now_ms) const {
  std::optional<uint64_t> first;  // the earliest tick at which a timer fires or a slot must be spread
  for (int level = 0; level < kLevels; ++level) {
    for (uint64_t ahead = 1; ahead <= kSlots; ++ahead) {
      uint64_t at = (now_ >> (kBits * level)) + ahead;
      if (levels_[level].slots[at & (kSlots - 1)].empty()) continue;
      uint64_t tick = at << (kBits * level);
      first = first ? std::min(*first, tick) : tick;
      break;
    }
  }
  if (!first) return {};
  return *first * kTickMs > now_ms ? *first * kTickMs - now_ms : 0;
}

}  // namespace ambientd
