// SPDX-License-Identifier: Apache-2.0
#include "core/loop.h"

#include <cassert>
#include <utility>

namespace ambientd {
namespace {

thread_local Loop* this_loop = nullptr;

// A detached coroutine that owns a story and its entry in the list of roots.
struct Detached {
  struct promise_type {
    Detached get_return_object() const noexcept { return {}; }
    std::suspend_never initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    [[noreturn]] void unhandled_exception() const noexcept { std::terminate(); }
  };
};

// The first wait is the ready queue, so a story never starts inside its parent's frame.
Detached run_root(Loop* loop, std::string name, Task<void> story) {
  Root root(std::move(name));
  co_await loop->yield();
  co_await story;
}

template <class Handle>
Handle* make(Loop* owner) {
  Handle* handle = new Handle;
  handle->data = owner;
  return handle;
}

template <class Handle>
void destroy(Handle* handle) {
  uv_close(reinterpret_cast<uv_handle_t*>(handle),
           [](uv_handle_t* closed) { delete reinterpret_cast<Handle*>(closed); });
}

}  // namespace

Root::Root(std::string name) : name_(std::move(name)), started_ms_(Loop::current().now_ms()) {
  Loop::current().roots_.push_back(*this);
  Loop::current().current_root_ = this;
}

Root::~Root() = default;

void Waiter::arm(std::coroutine_handle<> handle) {
  assert(!handle_);
  handle_ = handle;
  root_ = Loop::current().current_root_;
  if (root_) root_->waits_for_ = what_;
}

void Waiter::wake() {
  if (handle_) Loop::current().ready_.push_back({std::exchange(handle_, nullptr), root_});
}

Loop& Loop::current() {
  assert(this_loop);
  return *this_loop;
}

Loop::Loop() : timers_(uv_hrtime() / 1000000) {
  assert(!this_loop);
  this_loop = this;
  uv_loop_init(&uv_);
  async_ = make<uv_async_t>(this);
  uv_async_init(&uv_, async_, [](uv_async_t* h) { static_cast<Loop*>(h->data)->run_posted(); });
  timer_ = make<uv_timer_t>(this);
  uv_timer_init(&uv_, timer_);
  prepare_ = make<uv_prepare_t>(this);
  uv_prepare_init(&uv_, prepare_);
  uv_prepare_start(prepare_, [](uv_prepare_t* h) { static_cast<Loop*>(h->data)->drain(); });
  check_ = make<uv_check_t>(this);
  uv_check_init(&uv_, check_);
  uv_check_start(check_, [](uv_check_t* h) { static_cast<Loop*>(h->data)->drain(); });
}

Loop::~Loop() {
  drop_posted();
  // A story that never ended is abandoned where it waits; its sockets must not keep us here.
  uv_walk(&uv_, [](uv_handle_t* each, void*) { uv_unref(each); }, nullptr);
  destroy(async_);
  destroy(timer_);
  destroy(prepare_);
  destroy(check_);
  while (uv_run(&uv_, UV_RUN_NOWAIT) != 0) {
  }
  uv_loop_close(&uv_);
  this_loop = nullptr;
}

void Loop::run() { uv_run(&uv_, UV_RUN_DEFAULT); }

void Loop::stop() {
  std::lock_guard lock(mutex_);
  stopping_ = true;
  uv_async_send(async_);
}

void Loop::post(std::move_only_function<void()> work) {
  std::lock_guard lock(mutex_);
  posted_.push_back(std::move(work));
  uv_async_send(async_);
}

// What was posted too late to run goes, and may still use the loop while it does.
void Loop::drop_posted() {
  std::vector<std::move_only_function<void()>> late;  // destroyed after the lock is released
  std::lock_guard lock(mutex_);
  late.swap(posted_);
}

void Loop::run_posted() {
  std::vector<std::move_only_function<void()>> work;
  bool stop = false;
  {
    std::lock_guard lock(mutex_);
    work.swap(posted_);
    stop = std::exchange(stopping_, false);
  }
  for (std::move_only_function<void()>& each : work) each();
  if (stop) uv_stop(&uv_);
}

void Loop::spawn(std::string name, Task<void> story) {
  Root* parent = std::exchange(current_root_, nullptr);
  run_root(this, std::move(name), std::move(story));
  current_root_ = parent;
}

void Loop::drain() {
  timers_.advance(now_ms());
  while (!ready_.empty() || !late_.empty()) {
    if (ready_.empty()) {
      List<Waiter> late;
      late.take(late_);
      while (!late.empty()) {
        Waiter& waiter = late.front();
        waiter.unlink();
        waiter.wake();
      }
    }
    running_.swap(ready_);
    for (const Ready& each : running_) {
      current_root_ = each.root;
      each.handle.resume();
    }
    current_root_ = nullptr;
    running_.clear();
  }
  rearm_timer();
}

Buffer Loop::take_buffer() {
  if (spare_buffers_.empty()) return {};
  Buffer buffer = std::move(spare_buffers_.back());
  spare_buffers_.pop_back();
  return buffer;
}

void Loop::give_buffer(Buffer buffer) {
  static constexpr size_t kSpares = 4;
  if (buffer.capacity() == 0 || spare_buffers_.size() >= kSpares) return;
  buffer.clear();
  spare_buffers_.push_back(std::move(buffer));
}

void Loop::Budget::take(size_t n) {
  used += n;
  if (used > limit) exhausted = true;
}

void Loop::Budget::give_back(size_t n) {
  used -= n;
  if (!exhausted || used > limit / 8 * 7) return;
  exhausted = false;
  holders.each([](Holder& each) { each.fed(); });
}

Loop::Holder* Loop::Budget::largest() {
  Holder* most = nullptr;
  holders.each([&most](Holder& each) {
    if (!most || each.held() > most->held()) most = &each;
  });
  return most;
}

void Loop::set_timer(Timer& timer, uint64_t after_ms) { timers_.set(timer, now_ms(), after_ms); }

void Loop::rearm_timer() {
  std::optional<uint64_t> next = timers_.next(now_ms());
  uint64_t due = next ? now_ms() + *next : 0;
  if (due == timer_due_ms_ || (timer_due_ms_ > now_ms() && due > timer_due_ms_)) return;  // early is harmless
  timer_due_ms_ = due;
  if (!next) {
    uv_timer_stop(timer_);
    return;
  }
  uv_timer_start(timer_, [](uv_timer_t* h) { static_cast<Loop*>(h->data)->timer_due_ms_ = 0; }, *next, 0);
}

}  // namespace ambientd
