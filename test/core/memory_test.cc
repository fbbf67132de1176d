// SPDX-License-Identifier: Apache-2.0
#include "core/memory.h"

#include <fstream>
#include <sstream>
#include <string>

#include "core/version.h"
#include "test/support/catch.h"

using namespace ambientd;

namespace {

size_t resident_file_kb() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    size_t kb = 0;
    if (line.starts_with("RssFile:") && std::istringstream(line.substr(8)) >> kb) return kb;
  }
  return 0;
}

}  // namespace

TEST_CASE("code that is released leaves the resident set and runs again when called") {
  std::string before = version_line("1.2.3");
  size_t resident = resident_file_kb();
  release_start_up_code();
  size_t rest = resident_file_kb();
  CHECK(rest > 0);
  CHECK(rest < resident);
  CHECK(version_line("1.2.3") == before);
}
