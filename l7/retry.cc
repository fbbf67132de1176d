// SPDX-License-Identifier: Apache-2.0
#include "l7/retry.h"

#include <algorithm>

namespace ambientd::l7 {
namespace {

constexpr uint32_t kMostDoublings = 20;  // beyond that every max_ms is reached

}  // namespace

const config::RetryPolicy& retry_policy(const config::RouteRule* rule) {
  static const config::RetryPolicy kDefault;
  return rule ? rule->retry : kDefault;
}

bool retries_unsent(const config::RetryPolicy& policy, Cause cause) {
  using On = config::RetryPolicy::On;
  bool dial = cause == Cause::connect_failed || cause == Cause::connect_timed_out;
  if (dial) return (policy.on & (On::on_connect_failure | On::on_5xx)) != 0;
  return cause == Cause::upstream_refused && (policy.on & (On::on_refused_stream | On::on_5xx)) != 0;
}

uint64_t backoff_ms(const config::RetryPolicy& policy, uint32_t n, uint64_t random) {
  uint64_t times = (uint64_t{2} << std::min(n, kMostDoublings)) - 1;
  uint64_t ceiling = std::min(policy.max_ms, policy.base_ms * times);
  return ceiling == 0 ? 0 : random % ceiling;
}

}  // namespace ambientd::l7
