// SPDX-License-Identifier: Apache-2.0
// The worker threads: one Loop each. The main loop creates and ends them; work goes to a worker by post().
// A connection that was handed to a worker never leaves it.
#pragma once

#include <functional>
#include <latch>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "core/loop.h"

namespace ambientd {

class Workers {
 public:
  // Starts `count` threads and waits until each has its loop.
  explicit Workers(size_t count);
  // Stops the loops and joins. What their stories still hold goes with the process: end them first.
  ~Workers();
  Workers(const Workers&) = delete;

  size_t size() const { return workers_.size(); }
  Loop& loop(size_t index) { return *workers_[index]->loop; }
  // Runs `work(index)` on every worker's thread; returns at once.
  void each(const std::function<void(size_t)>& work);
  // Runs `work(index)` on every worker's thread and returns when all are done. Never call it from a worker.
  void each_and_wait(const std::function<void(size_t)>& work);

 private:
  struct Worker {
    Loop* loop = nullptr;
    std::thread thread;
  };
  std::latch stopped_;  // loops live until all have stopped: one may still post to another
  std::vector<std::unique_ptr<Worker>> workers_;
};

// Who waits where, for how long: a line a story, by worker.
std::string list_stories(Workers& workers);

}  // namespace ambientd
