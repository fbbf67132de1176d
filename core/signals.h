// SPDX-License-Identifier: Apache-2.0
// SIGTERM and SIGINT as calls on the loop of whoever made this.
#pragma once

#include <uv.h>

#include <functional>

namespace ambientd {

class Signals {
 public:
  explicit Signals(std::function<void(int signal)> arrived);
  ~Signals();
  Signals(const Signals&) = delete;

 private:
  std::function<void(int)> arrived_;
  uv_signal_t* handles_[2];
};

}  // namespace ambientd
