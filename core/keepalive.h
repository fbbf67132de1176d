// SPDX-License-Identifier: Apache-2.0
// TCP keepalive as peers set it (contract/ztunnel.md §1.3).
#pragma once

#include <chrono>
#include <cstdint>

namespace ambientd {

struct Keepalive {
  bool enabled = true;
  std::chrono::seconds time{180};
  std::chrono::seconds interval{180};
  uint32_t retries = 9;
  bool user_timeout = false;  // TCP_USER_TIMEOUT of time + retries * interval
};

}  // namespace ambientd
