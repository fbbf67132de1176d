// SPDX-License-Identifier: Apache-2.0
// Runs one story to its end on a loop of its own. A story that hangs fails the test after `limit`.
#pragma once

#include <cstdio>
#include <cstdlib>

#include "core/loop.h"
#include "core/task.h"

namespace ambientd::test {

inline Task<void> then_stop(Task<void> story, Loop& loop) {
  co_await story;
  loop.stop();
}

inline void run(Loop& loop, Task<void> story, uint64_t limit_ms = 20000) {
  Timer watchdog([&loop] {
    loop.roots().each(
        [](Root& root) { std::fprintf(stderr, "stuck: %s in %s\n", root.name().c_str(), root.waits_for()); });
    std::abort();
  });
  loop.set_timer(watchdog, limit_ms);
  loop.spawn("test", then_stop(std::move(story), loop));
  loop.run();
}

}  // namespace ambientd::test
