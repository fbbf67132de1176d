// SPDX-License-Identifier: Apache-2.0
// One direction of an exchange's body on its way between two codecs, with its trailers. Which side failed
// matters to what the other one is told, so it is kept apart.
#pragma once

#include <cstdint>
#include <optional>

#include "core/result.h"
#include "core/stream.h"
#include "core/task.h"

namespace ambientd::l7 {

class BodyPump {
 public:
  // Both streams outlive it.
  BodyPump(Stream& from, Stream& to) : from_(from), to_(to) {}

  // Carries bytes until the source ends, one side fails, or stop() is called. `bytes` counts what was taken.
  Task<void> run(uint64_t& bytes);
  // Makes run() return soon, leaving both streams as they are.
  void stop();

  bool whole() const { return whole_; }  // the source ended, and all of it was taken
  const std::optional<Error>& source_error() const { return source_error_; }
  const std::optional<Error>& sink_error() const { return sink_error_; }

 private:
  Stream& from_;
  Stream& to_;
  bool stopped_ = false;
  bool whole_ = false;
  std::optional<Error> source_error_, sink_error_;
};

}  // namespace ambientd::l7
