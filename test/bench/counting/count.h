// SPDX-License-Identifier: Apache-2.0
// Counts what costs a proxy more the more threads it has, by standing before the C and C++ libraries: memory
// taken, locks taken, bytes moved by a call. Linked into a program, or preloaded into one (LD_PRELOAD), where
// the numbers are in the file AMBIENTD_COUNTS/<pid> for whoever maps or reads it. Only sums: relaxed, never
// reset; look before and after.
#pragma once

#include <atomic>
#include <cstdint>

namespace ambientd::bench {

struct Counts {
  std::atomic<uint64_t> news;              // operator new: our own C++, and what is inlined into it
  std::atomic<uint64_t> mallocs;           // every other allocation: OpenSSL, nghttp2, libuv, the C library
  std::atomic<uint64_t> mutexes, rwlocks;  // taken, contended or not
  std::atomic<uint64_t> in_calls, in_bytes, out_calls, out_bytes;  // of sockets and pipes
};

Counts& counts();

}  // namespace ambientd::bench
