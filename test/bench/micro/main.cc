// SPDX-License-Identifier: Apache-2.0
// micro [--json] [--quick]: all micro-benchmarks. micro --check: only whether promises about allocations
// hold, ending with `N passed, N failed`.
#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <string_view>

#include "test/bench/counting/count.h"
#include "test/bench/micro/micro.h"

namespace ambientd::bench {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int kTries = 3;
constexpr uint64_t kCounted = 20'000;  // operations when time does not matter

double ns_since(Clock::time_point start) {
  return static_cast<double>(std::chrono::nanoseconds(Clock::now() - start).count());
}

// How many operations fill about `ms`, found by doubling; warms up what is kept on the way.
uint64_t fitting(uint64_t ms, const std::function<void(uint64_t)>& batch) {
  for (uint64_t n = 1;; n *= 2) {
    Clock::time_point start = Clock::now();
    batch(n);
    double took = ns_since(start);
    if (took >= static_cast<double>(ms) * 1e6 / 2 || n >= uint64_t{1} << 40) return n;
  }
}

}  // namespace

void Bench::measure(const Operation& operation, const std::function<void(uint64_t)>& batch) {
  bool timed = ms_ > 0;
  if (!timed && operation.most == kAny) return;
  if (!timed) batch(kCounted / 10);
  uint64_t n = timed ? fitting(ms_, batch) : kCounted;
  Measured out{.name = operation.name, .most = operation.most, .within_ns = operation.within_ns};
  auto per_op = [n](uint64_t count) { return static_cast<double>(count) / static_cast<double>(n); };
  for (int i = 0; i < (timed ? kTries : 1); ++i) {
    uint64_t news = counts().news, mallocs = counts().mallocs;
    Clock::time_point start = Clock::now();
    batch(n);
    double ns = ns_since(start) / static_cast<double>(n);
    out.news = per_op(counts().news - news);
    out.mallocs = per_op(counts().mallocs - mallocs);
    if (i == 0 || ns < out.ns) out.ns = ns;
  }
  if (operation.bytes > 0) out.bytes_per_s = static_cast<double>(operation.bytes) * 1e9 / out.ns;
  results_.push_back(std::move(out));
}

namespace {

// An operation may now and then renew what it keeps: so seldom that it does not count.
constexpr double kSeldom = 0.01;

int check(const Bench& bench) {
  size_t failed = 0, promised = 0;
  for (const Measured& result : bench.results()) {
    promised += result.most < kAny;
    if (result.news <= result.most + kSeldom) continue;
    ++failed;
    fmt::print("{} allocates {:.3f} times an operation and promises {} at most\n", result.name, result.news,
               result.most);
  }
  fmt::print("{} passed, {} failed\n", promised - failed, failed);
  return failed == 0 && promised > 0 ? 0 : 1;
}

void print_json(const Bench& bench) {
  const char* before = "[";
  for (const Measured& r : bench.results()) {
    fmt::print("{}{{\"name\": \"{}\", \"ns\": {}, \"bytes_per_s\": {}, \"news\": {}, \"mallocs\": {}}}",
               before, r.name, r.ns, r.bytes_per_s, r.news, r.mallocs);
    before = ",\n ";
  }
  fmt::print("]\n");
}

void print_text(const Bench& bench) {
  fmt::print("{:44} {:>10} {:>9} {:>9} {:>9}\n", "", "ns per op", "MB/s", "our news", "libraries");
  for (const Measured& r : bench.results()) {
    std::string speed = r.bytes_per_s > 0 ? fmt::format("{:.0f}", r.bytes_per_s / 1e6) : "";
    std::string goal;
    if (r.within_ns > 0)
      goal = fmt::format("  goal {:.0f} ms{}", r.within_ns / 1e6, r.ns <= r.within_ns ? "" : ": missed");
    fmt::print("{:44} {:>10.1f} {:>9} {:>9.3f} {:>9.3f}{}\n", r.name, r.ns, speed, r.news, r.mallocs, goal);
  }
}

}  // namespace
}  // namespace ambientd::bench

int main(int argc, char** argv) {
  using namespace ambientd::bench;
  bool json = false, quick = false, checking = false;
  for (std::string_view argument : std::vector<std::string_view>(argv + 1, argv + argc)) {
    json |= argument == "--json";
    quick |= argument == "--quick";
    checking |= argument == "--check";
  }
  Bench bench(checking ? 0 : quick ? 20 : 200);
  session(bench);
  hpack(bench);
  tls(bench);
  router(bench);
  judges(bench);
  configuration(bench);
  if (checking) return check(bench);
  json ? print_json(bench) : print_text(bench);
  return 0;
}
