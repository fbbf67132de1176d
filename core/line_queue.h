// SPDX-License-Identifier: Apache-2.0
// Lines on their way to somebody slow: a thread of its own hands them on in order and without loss, many at a
// time. It takes memory for what is pending and none ahead. The rule: who adds a line when `most` are pending
// waits, so whoever writes must go on writing or return.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

namespace ambientd {

class LineQueue {
 public:
  // `write` gets whole lines, ends included, on the queue's thread. `most` lines wait at the same time,
  // besides those that are being written.
  LineQueue(size_t most, std::function<void(std::string_view)> write);
  ~LineQueue();  // when all is written; nobody may be adding any more
  LineQueue(const LineQueue&) = delete;

  void add(std::string_view line);  // without its end; any thread

 private:
  void run();
  bool take(std::string& batch);  // false: it is over

  const size_t most_;
  const std::function<void(std::string_view)> write_;
  std::mutex lock_;
  std::condition_variable filled_, emptied_;
  std::string pending_;
  size_t lines_ = 0;  // in there
  bool ending_ = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace ambientd
