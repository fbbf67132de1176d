// SPDX-License-Identifier: Apache-2.0
// A Pod is where the sockets of one workload come from: its network namespace and our mark. The rule: every
// socket that touches a pod, listeners included, is made here, or the capture rules take our own traffic for
// the application's (contract/ztunnel.md §2, socket factory).
#pragma once

#include <atomic>
#include <memory>
#include <string_view>

#include "core/result.h"
#include "core/socket.h"
#include "l4/settings.h"

namespace ambientd::l4 {

// `ns/name/sa=/run/netns/X`, as --pod takes it; without `=` the process's own namespace. Errc::invalid.
Result<PodSpec> parse_pod(std::string_view text);

class Pod {
 public:
  // Errors: io (the namespace cannot be opened or entered: its path, and what that needs).
  static Result<std::unique_ptr<Pod>> open(PodSpec spec, uint32_t mark);

  const PodSpec& spec() const { return spec_; }

  // A non-blocking TCP socket in the pod's namespace, marked. Any thread.
  Result<Fd> socket(bool v6) const;

  // A socket that listens on every address of the pod. `transparent` says what is wanted and gets what was
  // possible. Errors: io (a port in use is named), or IP_TRANSPARENT where it is required.
  Result<Fd> listen(uint16_t port, const Settings& settings, bool* transparent) const;

  // Connections of the pod's are counted while they live. Any thread.
  void take_seat() const { ++seats_; }
  void leave_seat() const { --seats_; }
  class Seat {
   public:
    explicit Seat(const Pod& pod) : pod_(pod) { pod_.take_seat(); }
    ~Seat() { pod_.leave_seat(); }
    Seat(const Seat&) = delete;

   private:
    const Pod& pod_;
  };
  size_t seats() const { return seats_; }  // taken

 private:
  Pod(PodSpec spec, uint32_t mark, Fd netns, Fd home)
      : spec_(std::move(spec)), mark_(mark), netns_(std::move(netns)), home_(std::move(home)) {}

  PodSpec spec_;
  uint32_t mark_;
  Fd netns_;  // empty: the process's own
  Fd home_;   // the process's own, to go back to
  mutable std::atomic<size_t> seats_ = 0;
};

}  // namespace ambientd::l4
