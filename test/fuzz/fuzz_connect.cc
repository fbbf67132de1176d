// SPDX-License-Identifier: Apache-2.0
// What a client of a waypoint sends before HTTP begins: the authority of its CONNECT, and first bytes to
// sniff.
#include "l7/sniff.h"
#include "test/support/l7_world.h"

using namespace ambientd;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const l7::ViewPtr view = test::view_of(test::small_mesh());
  std::string_view text(reinterpret_cast<const char*>(data), size);
  Result<l7::Target> target = l7::dispatch(*view->snapshot, *view->self, text);
  if (target && !target->service && !target->workload) std::abort();
  // More bytes never change a decision.
  l7::Sniffed before = l7::Sniffed::more;
  for (size_t n = 0; n <= std::min<size_t>(size, 9000); ++n) {
    l7::Sniffed now = l7::sniff(text.substr(0, n));
    if (before != l7::Sniffed::more && now != before) std::abort();
    before = now;
  }
  return 0;
}
