// SPDX-License-Identifier: Apache-2.0
// A micro-benchmark is one operation repeated in one thread: nanoseconds an operation, the best of a few
// tries because everything that disturbs makes it slower, and allocations, which are the same every time.
// Each .cc file of this folder has one piece whose cost matters. Operations that promise no allocation say
// so; the check that `make test` runs holds them to it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace ambientd::bench {

constexpr double kAny = 1e9;  // nothing is promised

struct Measured {
  std::string name;
  double ns = 0;                 // an operation
  double bytes_per_s = 0;        // 0: no bytes to speak of
  double news = 0, mallocs = 0;  // allocations an operation: ours, the libraries'
  double most = kAny;            // of news
  double within_ns = 0;          // 0: no goal
};

struct Operation {
  std::string name;
  size_t bytes = 0;      // an operation moves
  double most = kAny;    // allocations of ours are promised to be no more
  double within_ns = 0;  // the time that it should take at most; 0: any
};

class Bench {
 public:
  // Each operation is tried three times for `ms` each. 0: only what promises something, and only counted.
  explicit Bench(uint64_t ms) : ms_(ms) {}

  // `batch(n)` does n operations. What it allocates once, it allocates in its first call.
  void measure(const Operation& operation, const std::function<void(uint64_t)>& batch);
  const std::vector<Measured>& results() const { return results_; }

 private:
  uint64_t ms_;
  std::vector<Measured> results_;
};

// Keeps the compiler from leaving out what made `value`.
template <class T>
void keep(const T& value) {
  asm volatile("" : : "r"(&value) : "memory");
}

// The pieces, a file each.
void session(Bench& bench);
void hpack(Bench& bench);
void tls(Bench& bench);
void router(Bench& bench);
void judges(Bench& bench);
void configuration(Bench& bench);

}  // namespace ambientd::bench
