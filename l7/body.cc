// SPDX-License-Identifier: Apache-2.0
#include "l7/body.h"

namespace ambientd::l7 {

Task<void> BodyPump::run(uint64_t& bytes) {
  while (!stopped_) {
    Result<Chunk> chunk = co_await from_.read();
    if (!chunk) {
      source_error_ = std::move(chunk.error());
      co_return;
    }
    whole_ = chunk->eof;
    if (whole_) co_return;
    if (stopped_ || chunk->data.empty()) continue;
    Result<size_t> taken = co_await to_.write(chunk->data);
    if (!taken) {
      sink_error_ = std::move(taken.error());
      co_return;
    }
    if (*taken == 0) continue;
    bytes += *taken;
    from_.consume(*taken);
  }
}

void BodyPump::stop() {
  stopped_ = true;
  from_.nudge();
  to_.nudge();
}

}  // namespace ambientd::l7
