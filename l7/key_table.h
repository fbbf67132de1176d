// SPDX-License-Identifier: Apache-2.0
// The keys that were fetched, as one published state: workers read it, l7/key_store.h makes a new one when
// something changed. Never a key that the issuer did not publish (CVE-2026-31837).
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <string>

#include "policy/jwt.h"

namespace ambientd::l7 {

struct KeySet {
  policy::JwksPtr keys;                                     // the last good ones; null: none yet
  bool settled = false;                                     // the first fetch has ended, well or not
  policy::JwtFault fault = policy::JwtFault::fetch_failed;  // what tokens are told while there are none
  std::shared_ptr<std::atomic<bool>> missed;                // an early fetch was asked for
};

using KeyTable = std::map<std::string, KeySet, std::less<>>;  // by policy::JwtRule::key_source()
using KeyTablePtr = std::shared_ptr<const KeyTable>;

}  // namespace ambientd::l7
