// SPDX-License-Identifier: Apache-2.0
#include "test/support/fuzz_http1.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ambientd::test::fuzz_http1(ambientd::http1::Role::response, data, size);
  return 0;
}
