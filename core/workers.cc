// SPDX-License-Identifier: Apache-2.0
#include "core/workers.h"

#include <fmt/format.h>

#include <future>

namespace ambientd {

Workers::Workers(size_t count) : stopped_(static_cast<ptrdiff_t>(count)) {
  for (size_t i = 0; i < count; ++i) {
    auto worker = std::make_unique<Worker>();
    std::promise<Loop*> ready;
    std::future<Loop*> loop = ready.get_future();
    worker->thread = std::thread([this, ready = std::move(ready)]() mutable {
      Loop mine;
      ready.set_value(&mine);
      mine.run();
      stopped_.arrive_and_wait();
    });
    worker->loop = loop.get();
    workers_.push_back(std::move(worker));
  }
}

Workers::~Workers() {
  for (std::unique_ptr<Worker>& worker : workers_) worker->loop->stop();
  for (std::unique_ptr<Worker>& worker : workers_) worker->thread.join();
}

void Workers::each(const std::function<void(size_t)>& work) {
  for (size_t i = 0; i < size(); ++i) loop(i).post([work, i] { work(i); });
}

void Workers::each_and_wait(const std::function<void(size_t)>& work) {
  std::latch done(static_cast<ptrdiff_t>(size()));
  each([&](size_t i) {
    work(i);
    done.count_down();
  });
  done.wait();
}

std::string list_stories(Workers& workers) {
  std::vector<std::string> text(workers.size());
  workers.each_and_wait([&text](size_t worker) {
    Loop& loop = Loop::current();
    loop.roots().each([&](Root& root) {
      text[worker] += fmt::format("{}\t{}\t{}\t{} ms\n", worker, root.name(), root.waits_for(),
                                  loop.now_ms() - root.started_ms());
    });
  });
  return fmt::format("worker\tstory\twaits for\tage\n{}", fmt::join(text, ""));
}

}  // namespace ambientd
