// SPDX-License-Identifier: Apache-2.0
#include "l7/timeout.h"

#include <algorithm>
#include <utility>

#include "core/text.h"

namespace ambientd::l7 {
namespace {

constexpr size_t kMostDigits = 8;
constexpr uint64_t kNanosecondsPerMs = 1'000'000;

uint64_t nanoseconds_of(char unit) {
  switch (unit) {
    case 'H':
      return 3'600'000'000'000;
    case 'M':
      return 60'000'000'000;
    case 'S':
      return 1'000'000'000;
    case 'm':
      return 1'000'000;
    case 'u':
      return 1'000;
    case 'n':
      return 1;
    default:
      return 0;
  }
}

}  // namespace

std::optional<uint64_t> grpc_timeout_ms(std::string_view text) {
  if (text.size() < 2 || text.size() > kMostDigits + 1) return {};
  uint64_t unit = nanoseconds_of(text.back());
  std::optional<uint64_t> count = parse_uint(text.substr(0, text.size() - 1));
  if (unit == 0 || !count) return {};
  // Eight digits of hours are 3.6e20 ns, which no 64 bits hold.
  if (unit >= kNanosecondsPerMs) return *count * (unit / kNanosecondsPerMs);
  return (*count * unit + kNanosecondsPerMs - 1) / kNanosecondsPerMs;
}

uint64_t timeout_of(const config::RouteRule* rule, const Request& request) {
  uint64_t of_route = rule && rule->timeout_ms ? *rule->timeout_ms : 0;
  bool forbidden = rule && rule->timeout_ms == 0;  // the route says: none
  if (forbidden || !request.is_grpc()) return of_route;
  std::string_view text = http1::find(request.fields, "grpc-timeout").value_or("");
  std::optional<uint64_t> asked = grpc_timeout_ms(text);
  if (!asked || *asked == 0) return of_route;
  return of_route == 0 ? *asked : std::min(of_route, *asked);
}

RouteTimeout::RouteTimeout(Scope& scope, uint64_t after_ms)
    : scope_(scope), after_ms_(after_ms), timer_([this] { expire(); }) {}

void RouteTimeout::start() {
  if (after_ms_ == 0 || std::exchange(started_, true)) return;
  Loop::current().set_timer(timer_, after_ms_);
}

void RouteTimeout::expire() {
  expired_ = true;
  scope_.close({Errc::timed_out, "the route's timeout"});
}

}  // namespace ambientd::l7
