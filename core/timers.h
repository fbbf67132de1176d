// SPDX-License-Identifier: Apache-2.0
// The timer wheel: every deadline of a loop, four levels of 64 slots at 16 ms, 1 s, 65 s and 70 min a slot.
// Setting and cancelling cost the same however many there are. A timer fires late by at most one tick, never
// early. The wheel knows no clock: whoever owns it says what time it is, so tests use a fake one.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>

#include "core/list.h"

namespace ambientd {

class Timers;

// One deadline. It is cancelled by its destruction; it may be set again from within its own expiry.
class Timer : public Listed<Timer> {
 public:
  explicit Timer(std::move_only_function<void()> expired) : expired_(std::move(expired)) {}
  bool set() const { return linked(); }
  void cancel();

 private:
  friend class Timers;
  std::move_only_function<void()> expired_;
  uint64_t due_ = 0;  // in ticks
};

class Timers {
 public:
  static constexpr uint64_t kTickMs = 16;

  explicit Timers(uint64_t now_ms) : now_(now_ms / kTickMs) {}

  void set(Timer& timer, uint64_t now_ms, uint64_t after_ms);
  // Fires everything due by now_ms.
  void advance(uint64_t now_ms);
  // Milliseconds until advance() must be called; nothing when no timer is set. May be early, never late.
  std::optional<uint64_t> next(uint64_t now_ms) const;

 private:
  static constexpr int kLevels = 4, kBits = 6, kSlots = 1 << kBits;
  struct Level {
    std::array<List<Timer>, kSlots> slots;
  };
  void place(Timer& timer);
  void cascade(int level);
  uint64_t now_;  // in ticks, all before it have fired
  std::array<Level, kLevels> levels_;
};

}  // namespace ambientd
