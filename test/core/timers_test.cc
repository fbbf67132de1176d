// SPDX-License-Identifier: Apache-2.0
#include "core/timers.h"

#include <deque>
#include <random>

#include "test/support/catch.h"

using namespace ambientd;

TEST_CASE("a timer never fires early and at most one tick late") {
  std::mt19937_64 random(7);
  for (uint64_t start : {uint64_t{0}, uint64_t{123456789}}) {
    uint64_t now = start;
    Timers wheel(now);
    struct Wanted {
      uint64_t due, fired = 0;
    };
    std::deque<Wanted> wanted;
    std::deque<Timer> timers;
    for (int i = 0; i < 2000; ++i) {
      uint64_t after = random() % (i % 3 == 0 ? 100 : i % 3 == 1 ? 100'000 : 40'000'000);
      wanted.push_back({now + after});
      Wanted& mine = wanted.back();
      timers.emplace_back([&mine, &now] { mine.fired = now; });
      wheel.set(timers.back(), now, after);
    }
    while (std::optional<uint64_t> next = wheel.next(now)) {
      now += std::max<uint64_t>(*next, 1);
      wheel.advance(now);
    }
    for (const Wanted& each : wanted) {
      INFO(each.due << " fired " << each.fired);
      CHECK(each.fired >= each.due);
      CHECK(each.fired <= each.due + 2 * Timers::kTickMs);
    }
  }
}

TEST_CASE("a timer beyond the wheel's reach still fires on time") {
  Timers wheel(0);
  uint64_t fired = 0, now = 0;
  Timer timer([&] { fired = now; });
  const uint64_t due = 10ull * 24 * 3600 * 1000;  // ten days
  wheel.set(timer, 0, due);
  while (std::optional<uint64_t> next = wheel.next(now)) wheel.advance(now += std::max<uint64_t>(*next, 1));
  CHECK(fired >= due);
  CHECK(fired <= due + 2 * Timers::kTickMs);
}

TEST_CASE("a cancelled or destroyed timer does not fire, and one may set itself again") {
  Timers wheel(0);
  int fired = 0;
  Timer cancelled([&] { ++fired; });
  wheel.set(cancelled, 0, 100);
  cancelled.cancel();
  {
    Timer gone([&] { ++fired; });
    wheel.set(gone, 0, 100);
  }
  Timer* self = nullptr;
  Timer again([&] {
    if (++fired < 3) wheel.set(*self, 200, 100);
  });
  self = &again;
  wheel.set(again, 0, 100);
  for (uint64_t now = 0; now < 1000; now += 10) wheel.advance(now);
  CHECK(fired == 3);
  CHECK_FALSE(wheel.next(1000));
}

TEST_CASE("a timer for ever neither fires at once nor stops the others") {
  Timers wheel(1000);
  bool ever = false, soon = false;
  Timer forever([&] { ever = true; }), other([&] { soon = true; });
  wheel.set(forever, 1000, UINT64_MAX);
  wheel.set(other, 1000, 50);
  for (uint64_t now = 1000; now < 10'000'000; now += 1000) wheel.advance(now);
  CHECK(soon);
  CHECK_FALSE(ever);
}
