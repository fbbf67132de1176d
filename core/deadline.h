// SPDX-License-Identifier: Apache-2.0
// A Deadline closes a Scope when its time is up, unless it is gone by then.
#pragma once

#include <type_traits>
#include <utility>

#include "core/loop.h"
#include "core/scope.h"

namespace ambientd {

template <class Late = Error>
class Deadline {
 public:
  // `late` says what could not be done in time, and on whom: an Error, or what makes one if it comes to that.
  Deadline(Scope& scope, uint64_t after_ms, Late late)
      : scope_(scope), late_(std::move(late)), timer_([this] { expire(); }) {
    Loop::current().set_timer(timer_, after_ms);
  }
  Deadline(const Deadline&) = delete;

 private:
  void expire() {
    if constexpr (std::is_invocable_v<Late&>) {
      scope_.close(late_());
    } else {
      scope_.close(late_);
    }
  }
  Scope& scope_;
  Late late_;
  Timer timer_;
};
Deadline(Scope&, uint64_t, Error) -> Deadline<Error>;

}  // namespace ambientd
