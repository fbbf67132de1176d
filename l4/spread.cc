// SPDX-License-Identifier: Apache-2.0
#include "l4/spread.h"

namespace ambientd::l4 {
namespace {

constexpr unsigned kSaturated = 90;  // percent: what is left is jitter of the measure
constexpr unsigned kGap = 20;        // percent: with less to gain a second connection is not worth its cost

}  // namespace

Carriers carriers_of(size_t way, size_t workers) {
  size_t owner = way % workers;
  if (workers == 1) return {owner, owner};
  return {owner, (owner + 1 + way / workers % (workers - 1)) % workers};
}

bool relieves(unsigned owner_busy, unsigned second_busy) {
  return owner_busy >= kSaturated && second_busy + kGap <= owner_busy;
}

}  // namespace ambientd::l4
