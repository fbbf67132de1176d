// SPDX-License-Identifier: Apache-2.0
// A Deadline closes a Scope when its time is up, unless it is gone by then.
#pragma once

#include <utility>

#include "core/loop.h"
#include "core/scope.h"

namespace ambientd {

class Deadline {
 public:
  // `late` says what could not be done in time, and on whom.
  Deadline(Scope& scope, uint64_t after_ms, Error late)
      : timer_([&scope, late = std::move(late)] { scope.close(late); }) {
    Loop::current().set_timer(timer_, after_ms);
  }

 private:
  Timer timer_;
};

}  // namespace ambientd
