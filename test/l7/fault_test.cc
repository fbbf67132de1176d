// SPDX-License-Identifier: Apache-2.0
#include "l7/fault.h"

#include "test/support/catch.h"

using namespace ambientd;
using namespace ambientd::l7;

TEST_CASE("delay and abort are rolled each by itself, to a millionth") {
  config::FaultInjection faults;
  faults.delay_ms = 7;
  faults.delay_per_million = 1;
  faults.abort_per_million = config::kMillion - 1;
  CHECK(roll(faults, 0, config::kMillion - 1).delay_ms == 7);
  CHECK_FALSE(roll(faults, 0, config::kMillion - 1).abort);
  CHECK(roll(faults, 1, 0).delay_ms == 0);
  CHECK(roll(faults, 1, config::kMillion - 2).abort);
  CHECK_FALSE(roll({}, 0, 0).abort);
  CHECK(roll({}, 0, 0).delay_ms == 0);
}

TEST_CASE("an abort is said in the client's own protocol") {
  config::FaultInjection faults;
  faults.abort_status = 418;
  Request plain, grpc;
  grpc.fields = {{"content-type", "application/grpc"}};
  LocalReply http = abort_reply(faults, plain);
  CHECK(http.response.status == 418);
  CHECK(http.body == "fault filter abort");
  CHECK(http.flags == "FI");
  CHECK(http.details == "fault_filter_abort");
  faults.abort_grpc = 8;
  CHECK(abort_reply(faults, plain).response.status == 429);
  LocalReply call = abort_reply(faults, grpc);
  CHECK(call.response.status == 200);
  CHECK(call.body.empty());
  CHECK(http1::find(call.response.fields, "grpc-status") == "8");
  CHECK(http1::find(call.response.fields, "grpc-message") == "fault filter abort");
}
