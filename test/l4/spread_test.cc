// SPDX-License-Identifier: Apache-2.0
#include "l4/spread.h"

#include <set>

#include "test/support/catch.h"

using namespace ambientd::l4;

TEST_CASE("a way has one owner and one other worker, whatever the number of workers") {
  for (size_t workers = 2; workers <= 9; ++workers) {
    std::set<size_t> owners, seconds;
    for (size_t way = 0; way < 1000; ++way) {
      Carriers carriers = carriers_of(way, workers);
      REQUIRE(carriers.owner < workers);
      REQUIRE(carriers.second < workers);
      REQUIRE(carriers.owner != carriers.second);
      owners.insert(carriers.owner);
      seconds.insert(carriers.second);
    }
    CHECK(owners.size() == workers);  // and both are spread over all of them
    CHECK(seconds.size() == workers);
  }
}

TEST_CASE("the only worker carries everything") {
  Carriers carriers = carriers_of(12345, 1);
  CHECK(carriers.owner == 0);
  CHECK(carriers.second == 0);
}

TEST_CASE("the second worker takes calls only while the owner is saturated and itself has time") {
  struct Case {
    unsigned owner, second;
    bool relieved;
  };
  for (Case c : {Case{0, 0, false}, Case{89, 0, false}, Case{90, 0, true}, Case{100, 80, true},
                 Case{100, 81, false}, Case{100, 100, false}}) {
    INFO(c.owner << " % and " << c.second << " %");
    CHECK(relieves(c.owner, c.second) == c.relieved);
  }
}
