// SPDX-License-Identifier: Apache-2.0
#include "core/signals.h"

#include <csignal>
#include <utility>

#include "core/loop.h"

namespace ambientd {

Signals::Signals(std::function<void(int)> arrived) : arrived_(std::move(arrived)) {
  static constexpr int kWanted[] = {SIGTERM, SIGINT};
  for (int i = 0; i < 2; ++i) {
    handles_[i] = new uv_signal_t;
    uv_signal_init(Loop::current().uv(), handles_[i]);
    handles_[i]->data = this;
    uv_signal_start(
        handles_[i],
        [](uv_signal_t* handle, int signal) { static_cast<Signals*>(handle->data)->arrived_(signal); },
        kWanted[i]);
  }
}

Signals::~Signals() {
  for (uv_signal_t* handle : handles_) {
    uv_close(reinterpret_cast<uv_handle_t*>(handle),
             [](uv_handle_t* closed) { delete reinterpret_cast<uv_signal_t*>(closed); });
  }
}

}  // namespace ambientd
