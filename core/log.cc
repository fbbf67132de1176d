// SPDX-License-Identifier: Apache-2.0
#include "core/log.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <memory>
#include <mutex>
#include <shared_mutex>

#include "core/line_queue.h"

namespace ambientd::log {
namespace {

// All of it, even where somebody made stdout non-blocking; gives up when nobody can read it any more.
void write_out(std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t n = ::write(STDOUT_FILENO, bytes.data(), bytes.size());
    if (n >= 0) {
      bytes.remove_prefix(static_cast<size_t>(n));
    } else if (errno == EAGAIN) {
      pollfd ready{.fd = STDOUT_FILENO, .events = POLLOUT, .revents = 0};
      ::poll(&ready, 1, -1);
    } else if (errno != EINTR) {
      return;
    }
  }
}

struct Output {
  Shape shape = Shape::plain;
  std::unique_ptr<LineQueue> queue;  // before start() and after stop(): none
  std::mutex redirect_lock;
  std::function<void(std::string_view)> redirect;
  std::atomic<bool> redirected = false;
};

// The one mutable global of the program, besides the filter: there is one stdout.
Output& output() {
  static Output one;
  return one;
}

struct Wanted {
  std::shared_mutex lock;
  Filter filter;
};

Wanted& wanted() {
  static Wanted one;
  return one;
}

std::atomic<Level> lowest =
    Level::info;  // of wanted().filter: decides most calls that are off without a lock

void emit(std::string_view line) {
  Output& out = output();
  if (out.redirected.load(std::memory_order_acquire)) {
    std::lock_guard hold(out.redirect_lock);
    if (out.redirect) return out.redirect(line);
  }
  if (out.queue) return out.queue->add(line);
  write_out(std::string(line).append("\n"));
}

int64_t micros_now() {
  auto since = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::microseconds>(since).count();
}

}  // namespace

void start(Shape shape, Filter filter) {
  Output& out = output();
  out.shape = shape;
  out.queue = std::make_unique<LineQueue>(kQueue, write_out);
  set_filter(std::move(filter));
}

void stop() { output().queue.reset(); }

Filter filter() {
  std::shared_lock hold(wanted().lock);
  return wanted().filter;
}

void set_filter(Filter filter) {
  std::unique_lock hold(wanted().lock);
  lowest.store(filter.lowest(), std::memory_order_relaxed);
  wanted().filter = std::move(filter);
}

bool enabled(Level level, std::string_view target, const Subject& about) {
  if (level < lowest.load(std::memory_order_relaxed)) return false;
  std::shared_lock hold(wanted().lock);
  return level >= wanted().filter.level_of(target, about);
}

void write(Level level, std::string_view target, std::string_view message, std::span<const Field> fields,
           const Subject& about) {
  if (enabled(level, target, about))
    emit(format(output().shape, micros_now(), level, target, message, fields, about));
}

void write_enabled(Level level, std::string_view target, std::string_view message,
                   std::span<const Field> fields) {
  emit(format(output().shape, micros_now(), level, target, message, fields));
}

void raw(std::string_view line) { emit(line); }

void redirect_to(std::function<void(std::string_view line)> sink, Shape shape) {
  Output& out = output();
  out.shape = shape;
  std::lock_guard hold(out.redirect_lock);
  out.redirect = std::move(sink);
  out.redirected.store(out.redirect != nullptr, std::memory_order_release);
}

}  // namespace ambientd::log
