// SPDX-License-Identifier: Apache-2.0
// Identity::parse on any bytes: what it takes, it must give back byte for byte.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "core/spiffe.h"

using ambientd::Identity;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string text(reinterpret_cast<const char*>(data), size);
  std::optional<Identity> identity = Identity::parse(text);
  if (!identity) return 0;
  if (identity->uri() != text) std::abort();
  if (Identity::parse(identity->uri()) != identity) std::abort();
  if (std::ranges::any_of(text, [](unsigned char c) { return c <= ' ' || c >= 0x7f; })) std::abort();
  if (identity->trust_domain.empty() || identity->ns.empty() || identity->sa.empty()) std::abort();
  return 0;
}
