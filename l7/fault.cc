// SPDX-License-Identifier: Apache-2.0
#include "l7/fault.h"

#include <array>

namespace ambientd::l7 {
namespace {

// By gRPC status code, from OK to UNAUTHENTICATED.
int http_status_of(int grpc_status) {
  constexpr std::array kStatus = {200, 499, 500, 400, 504, 404, 409, 403, 429,
                                  400, 409, 400, 501, 500, 503, 500, 401};
  bool known = grpc_status >= 0 && static_cast<size_t>(grpc_status) < kStatus.size();
  return known ? kStatus[static_cast<size_t>(grpc_status)] : 500;
}

}  // namespace

Fault roll(const config::FaultInjection& faults, uint64_t first, uint64_t second) {
  Fault out;
  if (first % config::kMillion < faults.delay_per_million) out.delay_ms = faults.delay_ms;
  out.abort = second % config::kMillion < faults.abort_per_million;
  return out;
}

LocalReply abort_reply(const config::FaultInjection& faults, const Request& request) {
  int status = faults.abort_grpc ? http_status_of(*faults.abort_grpc) : faults.abort_status;
  return plain_reply({status, "fault filter abort", "FI", "fault_filter_abort"}, request, faults.abort_grpc);
}

}  // namespace ambientd::l7
