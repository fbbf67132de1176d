// SPDX-License-Identifier: Apache-2.0
#include "core/random.h"

#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <cstdlib>

namespace ambientd {

void random_bytes(std::span<uint8_t> out) {
  thread_local std::array<uint8_t, 4096> pool;
  thread_local size_t used = pool.size();
  while (!out.empty()) {
    if (used == pool.size()) {
      if (RAND_bytes(pool.data(), static_cast<int>(pool.size())) != 1) std::abort();
      used = 0;
    }
    size_t n = std::min(out.size(), pool.size() - used);
    std::copy_n(pool.begin() + static_cast<ptrdiff_t>(used), n, out.begin());
    used += n;
    out = out.subspan(n);
  }
}

}  // namespace ambientd
