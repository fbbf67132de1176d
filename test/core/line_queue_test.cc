// SPDX-License-Identifier: Apache-2.0
#include "core/line_queue.h"

#include <algorithm>
#include <latch>
#include <thread>
#include <vector>

#include "test/support/catch.h"

using namespace ambientd;

TEST_CASE("lines come out in order, all those that wait at a time, and the last ones at the end") {
  std::latch writing(1), go_on(1);
  std::vector<std::string> batches;
  {
    LineQueue queue(3, [&](std::string_view lines) {
      if (batches.empty()) {
        writing.count_down();
        go_on.wait();
      }
      batches.emplace_back(lines);
    });
    queue.add("first");
    writing.wait();
    for (const char* line : {"a", "b", "c"}) queue.add(line);
    // No room: this one waits until the others are taken.
    std::thread late([&] { queue.add("late"); });
    go_on.count_down();
    late.join();
  }
  REQUIRE(batches.size() == 3);
  CHECK(batches[0] == "first\n");
  CHECK(batches[1] == "a\nb\nc\n");
  CHECK(batches[2] == "late\n");
}

TEST_CASE("many who add at once and one who is slow lose nothing") {
  constexpr size_t kThreads = 4, kLines = 2000;
  size_t lines = 0;
  {
    LineQueue queue(10, [&](std::string_view text) {
      lines += static_cast<size_t>(std::ranges::count(text, '\n'));
      CHECK(text.ends_with('\n'));
    });
    std::vector<std::thread> all;
    for (size_t i = 0; i < kThreads; ++i)
      all.emplace_back([&] {
        for (size_t n = 0; n < kLines; ++n) queue.add("line");
      });
    for (std::thread& each : all) each.join();
  }
  CHECK(lines == kThreads * kLines);
}
