// SPDX-License-Identifier: Apache-2.0
#include "core/loop.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <climits>
#include <utility>

#include "core/poll.h"

namespace ambientd {
namespace {

thread_local Loop* this_loop = nullptr;

// A detached coroutine that owns a story and its entry in the list of roots.
struct Detached {
  struct promise_type {
    promise_type(StoryName& name, Task<void>&) : root(std::move(name)) {}
    Detached get_return_object() noexcept {
      return {std::coroutine_handle<promise_type>::from_promise(*this), &root};
    }
    std::suspend_always initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    [[noreturn]] void unhandled_exception() const noexcept { std::terminate(); }
    Root root;
  };
  std::coroutine_handle<> handle;
  Root* root;
};

// The name is its promise's.
Detached run_root(StoryName&, Task<void> story) { co_await story; }

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

std::string StoryName::str() const {
  std::string words = own_ ? *own_ : words_;
  return about_.port == 0 ? words : words + " " + about_.str();
}

Root::Root(StoryName name) : name_(std::move(name)), started_ms_(Loop::current().now_ms()) {
  Loop::current().roots().push_back(*this);
}

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
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  epoll_event of_libuv{.events = EPOLLIN, .data = {.ptr = this}};
  epoll_ctl(epoll_, EPOLL_CTL_ADD, uv_backend_fd(&uv_), &of_libuv);
}

Loop::~Loop() {
  drain();  // who was woken since the loop stopped may still end
  drop_posted();
  close(epoll_);
  // What a story that never ended watches must not keep us here.
  uv_walk(&uv_, [](uv_handle_t* each, void*) { uv_unref(each); }, nullptr);
  destroy(async_);
  while (uv_run(&uv_, UV_RUN_ONCE) != 0) {  // a name that is being resolved cannot be given up
  }
  uv_loop_close(&uv_);
  this_loop = nullptr;
}

void Loop::run() {
  measured_ns_ = uv_hrtime();
  stopped_ = false;
  while (!stopped_) {
    drain();
    wait();
  }
  drain();
}

void Loop::wait() {
  std::array<epoll_event, 256> events;
  uint64_t slept_ns = uv_hrtime();
  int n = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), timeout());
  measure(slept_ns, uv_hrtime());
  uv_update_time(&uv_);
  for (int i = 0; i < n; ++i) {
    if (void* who = events[static_cast<size_t>(i)].data.ptr; who != this)
      static_cast<Poll*>(who)->on_event(events[static_cast<size_t>(i)].events);
  }
  // After the sockets: a message may end whatever they woke. libuv also registers what it watches here.
  bool libuv = std::any_of(events.begin(), events.begin() + std::max(n, 0),
                           [this](const epoll_event& each) { return each.data.ptr == this; });
  if (libuv || uv_backend_timeout(&uv_) == 0) uv_run(&uv_, UV_RUN_NOWAIT);
}

void Loop::measure(uint64_t slept_ns, uint64_t awake_ns) {
  static constexpr uint64_t kOverNs = 100'000'000;
  waited_ns_ += awake_ns - slept_ns;
  uint64_t elapsed = awake_ns - measured_ns_;
  if (elapsed < kOverNs) return;
  busy_.store(static_cast<unsigned>(100 - std::min(waited_ns_, elapsed) * 100 / elapsed),
              std::memory_order_relaxed);
  measured_ns_ = awake_ns;
  waited_ns_ = 0;
}

int Loop::timeout() const {
  int libuv = uv_backend_timeout(&uv_);
  std::optional<uint64_t> next = timers_.next(now_ms());
  int ours = next ? static_cast<int>(std::min<uint64_t>(*next, INT_MAX)) : -1;
  if (libuv < 0 || ours < 0) return std::max(libuv, ours);
  return std::min(libuv, ours);
}

bool Loop::watch(int fd, Poll& poll, uint32_t before, uint32_t now) {
  int what = now == 0 ? EPOLL_CTL_DEL : before == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
  epoll_event event{.events = now, .data = {.ptr = &poll}};
  return epoll_ctl(epoll_, what, fd, &event) == 0;
}

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
  if (stop) stopped_ = true;
}

// Its first wait is the ready queue, so a story never starts inside its parent's frame.
void Loop::spawn(StoryName name, Task<void> story) {
  Detached fresh = run_root(name, std::move(story));
  ready_.push_back({fresh.handle, fresh.root});
}

void Loop::drain() {
  timers_.advance(now_ms());
  while (!ready_.empty() || !late_.empty()) {
    if (ready_.empty()) {
      List<ListedWaiter> late;
      late.take(late_);
      while (!late.empty()) {
        ListedWaiter& waiter = late.front();
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

}  // namespace ambientd
