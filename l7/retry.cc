// SPDX-License-Identifier: Apache-2.0
#include "l7/retry.h"

#include <algorithm>
#include <optional>

namespace ambientd::l7 {
namespace {

using On = config::RetryPolicy::On;

constexpr uint32_t kMostDoublings = 20;  // beyond that every max_ms is reached

// Of a response that is its headers and nothing more.
uint32_t grpc_meaning(const Response& response) {
  switch (grpc_status_in(response.fields).value_or(0)) {
    case 1:
      return On::on_cancelled;
    case 4:
      return On::on_deadline_exceeded;
    case 8:
      return On::on_resource_exhausted;
    case 13:
      return On::on_internal;
    case 14:
      return On::on_unavailable;
    default:
      return 0;
  }
}

}  // namespace

const config::RetryPolicy& retry_policy(const config::RouteRule* rule) {
  static const config::RetryPolicy kDefault;
  return rule ? rule->retry : kDefault;
}

bool retries_unsent(const config::RetryPolicy& policy, Cause cause) {
  bool dial = cause == Cause::connect_failed || cause == Cause::connect_timed_out;
  if (dial) return (policy.on & (On::on_connect_failure | On::on_5xx)) != 0;
  return cause == Cause::upstream_refused && (policy.on & (On::on_refused_stream | On::on_5xx)) != 0;
}

bool retries_answer(const config::RetryPolicy& policy, const Response& response) {
  if (http1::find(response.fields, "x-envoy-overloaded")) return false;
  bool ratelimited = http1::find(response.fields, "x-envoy-ratelimited").has_value();
  if (ratelimited) return (policy.on & On::on_ratelimited) != 0;
  int status = response.status;
  uint32_t means = 0;
  if (status >= 500 && status < 600) means |= On::on_5xx;
  if (status >= 502 && status <= 504) means |= On::on_gateway_error;
  if (status == 409) means |= On::on_retriable_4xx;
  if (std::ranges::find(policy.statuses, status) != policy.statuses.end()) means |= On::on_statuses;
  return ((means | grpc_meaning(response)) & policy.on) != 0;
}

bool retries_broken(const config::RetryPolicy& policy, Cause cause) {
  switch (cause) {
    case Cause::upstream_closed:
    case Cause::upstream_reset:
    case Cause::upstream_refused:
    case Cause::response_timed_out:
      return (policy.on & (On::on_reset | On::on_5xx | On::on_gateway_error)) != 0;
    case Cause::connect_failed:
    case Cause::connect_timed_out:
      return (policy.on & (On::on_reset | On::on_reset_before_request | On::on_gateway_error)) != 0;
    default:
      return false;
  }
}

uint64_t backoff_ms(const config::RetryPolicy& policy, uint32_t n, uint64_t random) {
  uint64_t times = (uint64_t{2} << std::min(n, kMostDoublings)) - 1;
  uint64_t ceiling = std::min(policy.max_ms, policy.base_ms * times);
  return ceiling == 0 ? 0 : random % ceiling;
}

}  // namespace ambientd::l7
