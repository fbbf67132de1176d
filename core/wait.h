// SPDX-License-Identifier: Apache-2.0
// The leaves of every await. One coroutine waits on a Waiter; wake() puts it on its loop's ready queue, so
// nobody is ever resumed from inside a callback. A wake may be spurious: whoever waits looks again.
#pragma once

#include <coroutine>
#include <utility>

#include "core/list.h"

namespace ambientd {

class Root;

class Waiter {
 public:
  // `what` is a literal that /debug/tasks prints: what this wait is for.
  explicit Waiter(const char* what) : what_(what) {}
  Waiter(const Waiter&) = delete;

  bool waiting() const { return static_cast<bool>(handle_); }
  void arm(std::coroutine_handle<> handle);  // at most one at a time
  void wake();                               // no effect when nobody waits

 private:
  friend class Loop;
  const char* what_;
  std::coroutine_handle<> handle_;
  Root* root_ = nullptr;
};

// One of many that wait for the same thing.
class ListedWaiter : public Waiter, public Listed<ListedWaiter> {
 public:
  using Waiter::Waiter;
};

// Something that any number of coroutines wait for. set() before the wait is not lost; reset() makes it wait
// again.
class Event {
 public:
  explicit Event(const char* what) : what_(what) {}
  void set() {
    set_ = true;
    waiting_.each([](ListedWaiter& waiter) {
      waiter.unlink();
      waiter.wake();
    });
  }
  void reset() { set_ = false; }
  bool is_set() const { return set_; }

  class Awaiter {
   public:
    explicit Awaiter(Event& event) : event_(event), waiter_(event.what_) {}
    bool await_ready() const { return event_.set_; }
    void await_suspend(std::coroutine_handle<> handle) {
      waiter_.arm(handle);
      event_.waiting_.push_back(waiter_);
    }
    void await_resume() const {}

   private:
    Event& event_;
    ListedWaiter waiter_;
  };
  Awaiter operator co_await() { return Awaiter(*this); }

 private:
  const char* what_;
  bool set_ = false;
  List<ListedWaiter> waiting_;
};

}  // namespace ambientd
