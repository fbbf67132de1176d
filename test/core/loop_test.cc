// SPDX-License-Identifier: Apache-2.0
#include "core/loop.h"

#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <string>

#include "core/poll.h"
#include "core/relay.h"
#include "core/tcp_stream.h"
#include "core/workers.h"
#include "test/support/catch.h"
#include "test/support/loopback.h"
#include "test/support/run.h"
#include "test/support/stream_pair.h"

using namespace ambientd;
using namespace ambientd::test;

namespace {

// Sends everything it takes back to where it came from, on the spot: its source is never found empty.
class Refill final : public Stream {
 public:
  explicit Refill(int fd) : fd_(fd) {}
  void consume(size_t) override {}
  void finish() override {}
  void close(Errc) override { closed_ = true; }
  size_t bytes = 0;

 private:
  static constexpr size_t kEnough = 64 << 20;
  bool poll_read(Result<Chunk>& out) override {
    out = Chunk{.eof = true};
    return true;
  }
  bool poll_write(std::span<const iovec> data, Result<size_t>& out) override {
    ssize_t sent = send(fd_, data[0].iov_base, data[0].iov_len, MSG_NOSIGNAL);
    bytes += data[0].iov_len;
    out = total(data);
    if (closed_ || sent < 0 || bytes >= kEnough) out = fail(Errc::closed, "enough");
    return true;
  }
  int fd_;
  bool closed_ = false;
};

Task<void> fast_sender_and_neighbour() {
  Loopback round(2 << 20);
  std::string block(1 << 20, 'f');
  while (send(round.near.get(), block.data(), block.size(), MSG_NOSIGNAL) > 0) {
  }
  StreamPair quiet;
  Status sent = co_await send_text(*quiet.near, "hello");
  CHECK(sent);
  std::string got;
  Task<void> reading = read_n(*quiet.far, 5, got);
  reading.start();
  TcpStream source(std::move(round.far));
  Refill sink(round.near.get());
  uint64_t bytes = 0;
  Task<Status> pumping = pump(source, sink, bytes);
  pumping.start();
  co_await reading;
  CHECK(got == "hello");
  CHECK(bytes < (4 << 20));
  source.close(Errc::closed);
  Status pumped = co_await pumping;
}

}  // namespace

TEST_CASE("a sender that never pauses leaves the loop to its neighbours") {
  Loop loop;
  run(loop, fast_sender_and_neighbour());
}

// In a process of its own, because what an abandoned story holds goes with the process.
TEST_CASE("a loop goes away although a socket of an abandoned story is still watched") {
  pid_t child = fork();
  if (child == 0) {
    alarm(10);
    Loopback sockets;
    Waiter reader("test");
    auto loop = std::make_unique<Loop>();
    Poll* poll = new Poll(sockets.near.get(), &reader, nullptr);
    poll->want_read();
    loop->stop();
    loop->run();
    loop.reset();
    _exit(0);
  }
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
}

TEST_CASE("a story is called by words, with the address it is about") {
  SockAddr about = *SockAddr::parse("[fd00::7]:80");
  CHECK(StoryName("accept").str() == "accept");
  CHECK(StoryName("call to", about).str() == "call to [fd00::7]:80");
  CHECK(StoryName(std::string("keys of ") + "issuer").str() == "keys of issuer");
}

TEST_CASE("work that is posted too late is dropped while the loop is there for its destructors") {
  std::unique_ptr<StreamPair> streams;
  Loop loop;
  streams = std::make_unique<StreamPair>();
  bool ran = false;
  loop.post([&ran, held = std::move(streams)] { ran = held != nullptr; });
  CHECK_FALSE(ran);
}

TEST_CASE("workers that post to each other while they are stopped lose nothing but work") {
  std::atomic<uint64_t> ran = 0;
  for (int round = 0; round < 20; ++round) {
    Workers workers(4);
    // Each message goes on to the next worker, for ever: only the end of the loops stops it.
    struct Hop {
      static void on(Workers& all, size_t at, std::atomic<uint64_t>& count) {
        ++count;
        size_t next = (at + 1) % all.size();
        all.loop(next).post([&all, next, &count] { on(all, next, count); });
      }
    };
    for (size_t i = 0; i < 64; ++i) {
      size_t at = i % workers.size();
      workers.loop(at).post([&workers, at, &ran] { Hop::on(workers, at, ran); });
    }
    std::atomic<size_t> seen = 0;
    workers.each_and_wait([&seen](size_t i) { seen += i + 1; });
    CHECK(seen == 10);
  }
  CHECK(ran > 20 * 64);
}
