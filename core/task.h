// SPDX-License-Identifier: Apache-2.0
// A Task<T> is one phase of a story told as a coroutine: awaited once, by one caller, which owns it.
// It runs when awaited (or when start() is called), finishes on the loop's thread, and is never destroyed
// while it is suspended in the middle: end it by closing what it waits for (core/scope.h).
//
// The child is started inside await_ready and the waiter is resumed from final_suspend, so a child that
// finishes at once costs no suspension and never grows the stack.
#pragma once

#include <coroutine>
#include <exception>
#include <optional>
#include <utility>

namespace ambientd {

namespace detail {

struct PromiseBase {
  std::coroutine_handle<> waiter;
  bool started = false;
  bool finished = false;

  struct Final {
    bool await_ready() const noexcept { return false; }
    template <class P>
    void await_suspend(std::coroutine_handle<P> self) const noexcept {
      PromiseBase& promise = self.promise();
      promise.finished = true;
      if (promise.waiter) promise.waiter.resume();
    }
    void await_resume() const noexcept {}
  };

  std::suspend_always initial_suspend() const noexcept { return {}; }
  Final final_suspend() const noexcept { return {}; }
  [[noreturn]] void unhandled_exception() const noexcept { std::terminate(); }
};

template <class T>
struct Promise : PromiseBase {
  std::optional<T> value;
  template <class U>
  void return_value(U&& v) {
    value.emplace(std::forward<U>(v));
  }
  T take() { return std::move(*value); }
};

template <>
struct Promise<void> : PromiseBase {
  void return_void() const noexcept {}
  void take() const noexcept {}
};

}  // namespace detail

template <class T = void>
class [[nodiscard]] Task {
 public:
  struct promise_type : detail::Promise<T> {
    Task get_return_object() { return Task(std::coroutine_handle<promise_type>::from_promise(*this)); }
  };

  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Task& operator=(Task&&) = delete;
  ~Task() {
    if (handle_) handle_.destroy();
  }

  // Runs until the first real wait; a later co_await collects the result.
  void start() {
    if (handle_.promise().started) return;
    handle_.promise().started = true;
    handle_.resume();
  }
  bool finished() const { return handle_.promise().finished; }

  bool await_ready() {
    start();
    return finished();
  }
  void await_suspend(std::coroutine_handle<> waiter) { handle_.promise().waiter = waiter; }
  T await_resume() { return handle_.promise().take(); }

 private:
  explicit Task(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
  std::coroutine_handle<promise_type> handle_;
};

}  // namespace ambientd
