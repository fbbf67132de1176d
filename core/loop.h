// SPDX-License-Identifier: Apache-2.0
// One thread's event loop: an epoll set for sockets, libuv for all else a program waits for (messages between
// threads, signals, files, names, work on other threads), a ready queue for coroutines, a timer wheel, shared
// buffers. Everything on a loop belongs to its thread; post() and stop() are the only calls another thread
// may make.
//
// A turn: events only mark and wake; then the ready queue runs until it is empty; then the waits for the
// turn's end are released (open write batches go out there, gathered from the whole turn), and again until
// nothing is left to run.
//
// Sockets are not uv_poll handles because those cost a new connection eight more system calls and 160 bytes.
// libuv is embedded the way it provides for: its own descriptor is a member of our set, and it runs when that
// is ready.
#pragma once

#include <uv.h>

#include <atomic>
#include <coroutine>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "core/buffer.h"
#include "core/ip.h"
#include "core/list.h"
#include "core/scratch.h"
#include "core/task.h"
#include "core/timers.h"
#include "core/wait.h"

namespace ambientd {

// What a story is called: words, and perhaps the address it is about. It becomes text only when somebody
// looks, and is a literal for nearly all of the very many.
class StoryName {
 public:
  template <size_t N>
  StoryName(const char (&words)[N]) : words_(words) {}  // a literal
  StoryName(const char* words, const SockAddr& about)
      : words_(words), about_(about) {}  // `words` is a literal
  StoryName(std::string words) : own_(std::make_unique<std::string>(std::move(words))) {}
  std::string str() const;  // `call to 10.0.0.7:80`

 private:
  const char* words_ = "";
  SockAddr about_;  // port 0: no address
  std::unique_ptr<std::string> own_;
};

// A story of its own, as /debug/tasks prints it: who waits where, for how long.
class Root : public Listed<Root> {
 public:
  explicit Root(StoryName name);
  std::string name() const { return name_.str(); }
  const char* waits_for() const { return waits_for_; }  // the last await
  uint64_t started_ms() const { return started_ms_; }

 private:
  friend class Waiter;
  StoryName name_;
  const char* waits_for_ = "start";
  uint64_t started_ms_;
};

class Poll;

class Loop {
 public:
  Loop();
  // Stories should have ended: one that still waits is never resumed, and what it holds goes with the
  // process.
  ~Loop();
  Loop(const Loop&) = delete;

  // The loop of the calling thread; there must be one.
  static Loop& current();

  void run();  // until stop()
  // Percent of its time that this loop was not waiting, over the last tenth of a second it was awake in. Any
  // thread.
  unsigned busy() const { return busy_.load(std::memory_order_relaxed); }
  void stop();                                      // any thread
  void post(std::move_only_function<void()> work);  // any thread: runs on this loop's thread, in order

  // Starts a story, at the loop's next turn at the ready queue; it ends by itself. `name` is for people.
  void spawn(StoryName name, Task<void> story);

  uv_loop_t* uv() { return &uv_; }
  uint64_t now_ms() const { return uv_now(&uv_); }  // monotonic, as of this turn
  // What `poll` wants to hear of its descriptor: EPOLLIN, EPOLLOUT, both; 0 ends it. False when the kernel
  // refuses.
  bool watch(int fd, Poll& poll, uint32_t before, uint32_t now);
  void set_timer(Timer& timer, uint64_t after_ms);

  Scratch& rx() { return rx_; }        // raw bytes from sockets
  Scratch& plain() { return plain_; }  // bytes TLS has decrypted
  Buffer& wire() { return wire_; }     // encrypted bytes on their way out within one call

  // Write buffers go round between the connections that have something to send, so an idle one holds none.
  Buffer take_buffer();
  void give_buffer(Buffer buffer);

  // Resumes the caller after everything that was ready in this turn has run.
  class TurnEnd {
   public:
    explicit TurnEnd(Loop& loop) : loop_(loop), waiter_("turn end") {}
    bool await_ready() const { return false; }
    void await_suspend(std::coroutine_handle<> handle) {
      waiter_.arm(handle);
      loop_.late_.push_back(waiter_);
    }
    void await_resume() const {}

   private:
    Loop& loop_;
    ListedWaiter waiter_;
  };
  [[nodiscard]] TurnEnd turn_end() { return TurnEnd(*this); }

  // Resumes the caller behind what is ready now.
  class Yield {
   public:
    Yield() : waiter_("yield") {}
    bool await_ready() const { return false; }
    void await_suspend(std::coroutine_handle<> handle) {
      waiter_.arm(handle);
      waiter_.wake();
    }
    void await_resume() const {}

   private:
    Waiter waiter_;
  };
  [[nodiscard]] Yield yield() { return {}; }

  List<Root>& roots() { return roots_; }

  // Who queues bytes against the budget: gives no credit while it is exhausted, is told when it no longer is,
  // and pays when it holds most of it.
  class Holder : public Listed<Holder> {
   public:
    virtual size_t held() const = 0;  // bytes
    virtual void fed() = 0;
    virtual bool pay(bool now) = 0;  // true: some was given back; without `now` only by who stalled for long

   protected:
    ~Holder() = default;
  };

  // Bytes queued for slow readers on this loop (design: at most 64 MiB).
  struct Budget {
    size_t used = 0;
    size_t limit = 64 << 20;
    bool exhausted = false;  // from `limit` on until an eighth of it is free again
    List<Holder> holders;

    void take(size_t n);
    void give_back(size_t n);
    Holder* largest();
  };
  Budget& queued() { return queued_; }

 private:
  friend class Waiter;
  struct Ready {
    std::coroutine_handle<> handle;
    Root* root;
  };
  void drain();
  void wait();
  void measure(uint64_t slept_ns, uint64_t awake_ns);
  int timeout() const;  // milliseconds; -1: until something happens
  void run_posted();
  void drop_posted();

  uv_loop_t uv_;
  uv_async_t* async_;
  int epoll_;
  Timers timers_;
  std::vector<Ready> ready_, running_;
  List<ListedWaiter> late_;
  List<Root> roots_;
  Root* current_root_ = nullptr;
  Scratch rx_{256 << 10};
  Scratch plain_{288 << 10};  // what one fill of rx can decrypt to, and a record kept from before
  Buffer wire_;
  std::vector<Buffer> spare_buffers_;
  Budget queued_;
  std::mutex mutex_;
  std::vector<std::move_only_function<void()>> posted_;  // guarded by mutex_
  bool stopping_ = false;                                // guarded by mutex_
  bool stopped_ = false;
  uint64_t measured_ns_ = 0, waited_ns_ = 0;  // since when busy_ is being measured, and of that spent waiting
  std::atomic<unsigned> busy_ = 0;
};

// A coroutine may sleep on the wheel: co_await Sleep(ms).
class Sleep {
 public:
  explicit Sleep(uint64_t ms) : ms_(ms), waiter_("sleep"), timer_([this] { waiter_.wake(); }) {}
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    waiter_.arm(handle);
    Loop::current().set_timer(timer_, ms_);
  }
  void await_resume() const {}

 private:
  uint64_t ms_;
  Waiter waiter_;
  Timer timer_;
};

}  // namespace ambientd
