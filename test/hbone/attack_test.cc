// SPDX-License-Identifier: Apache-2.0
// Every attack of contract/threats.md §5.1 that a Session can meet, in either role, frame by frame.
#include <sys/socket.h>

#include <functional>
#include <list>

#include "hbone/connect.h"
#include "hbone/session.h"
#include "test/support/catch.h"
#include "test/support/frames.h"
#include "test/support/run.h"
#include "test/support/stream_pair.h"

using namespace ambientd;
using namespace ambientd::hbone;
using namespace ambientd::test;

namespace {

// A Session whose peer is us, writing raw frames on pair.near.
struct Attacked {
  explicit Attacked(Session::Role role, Limits limits = {}, Session::OnRequest on_request = {})
      : session(role, *pair.far, limits, std::move(on_request)), running(session.run()) {
    running.start();
  }
  StreamPair pair;
  Session session;
  Task<Status> running;
};

// What the session says, frame by frame.
class Listener {
 public:
  explicit Listener(Stream& from) : from_(from), listening_(listen()) { listening_.start(); }
  Task<void> end() { co_await listening_; }
  size_t count(h2::Type type, std::string_view ends_with = {}) const {
    return h2::count(h2::parse(heard_), type, ends_with);
  }
  // Waits until there are `n` frames of `type`, or the session has hung up.
  Task<void> until(h2::Type type, size_t n, std::string ends_with = {}) {
    while (count(type, ends_with) < n && !listening_.finished()) {
      more_.reset();
      co_await more_;
    }
  }

 private:
  Task<void> listen() {
    for (;;) {
      Result<Chunk> chunk = co_await from_.read();
      more_.set();
      if (!chunk || chunk->eof) co_return;
      for (const iovec& piece : chunk->data) heard_.append(static_cast<char*>(piece.iov_base), piece.iov_len);
      from_.consume(total(chunk->data));
    }
  }
  Stream& from_;
  std::string heard_;
  Event more_{"more frames"};
  Task<void> listening_;
};

std::string hello() { return std::string(h2::kPreface) + h2::frame(h2::SETTINGS, 0, 0); }
uint32_t nth(uint32_t i) { return 2 * i + 1; }  // the i-th stream of a client

struct Attack {
  const char* name;
  std::string (*make)(uint32_t);
  uint32_t times;
};

// Sends the attack's frames, some at a time, until all are through or our end is closed.
Task<void> send(Stream& to, Attack attack, uint32_t& through) {
  while (through < attack.times) {
    std::string some;
    uint32_t i = through;
    while (i < attack.times && some.size() < (64 << 10)) some += attack.make(i++);
    Status sent = co_await send_text(to, std::move(some));
    if (!sent) co_return;
    through = i;
  }
}

Task<void> hold(std::unique_ptr<Exchange> exchange, size_t& alive, size_t& most) {
  most = std::max(most, ++alive);
  Status ended = co_await exchange->headers();  // a served exchange hears only of its end here
  --alive;
}

// The attack must make us hang up, long before it is through, after a GOAWAY and with nothing left alive.
Task<void> ends_in_goaway(Attack attack) {
  size_t alive = 0, most = 0;
  Attacked a(Session::Role::server, {}, [&](std::unique_ptr<Exchange> e) {
    Loop::current().spawn("hold", hold(std::move(e), alive, most));
  });
  Listener listener(*a.pair.near);
  Status sent = co_await send_text(*a.pair.near, hello());
  CHECK(sent);
  uint32_t through = 0;
  Task<void> sending = send(*a.pair.near, attack, through);
  sending.start();
  Status ended = co_await a.running;
  INFO(attack.name << ": " << through << " sent");
  CHECK(through < attack.times);
  CHECK_FALSE(ended);
  CHECK(alive == 0);
  CHECK(most <= 2 * Limits{}.max_concurrent_streams);
  CHECK(Loop::current().queued().used == 0);
  a.pair.far.reset();
  co_await sending;
  co_await listener.end();
  CHECK(listener.count(h2::GOAWAY) >= 1);
}

std::string rapid_reset(uint32_t i) {
  return h2::get(nth(i)) + h2::frame(h2::RST_STREAM, 0, nth(i), h2::u32(8));
}
std::string zero_window_update(uint32_t i) {
  return h2::frame(h2::HEADERS, h2::kEndHeaders, nth(i), h2::connect_head()) +
         h2::frame(h2::WINDOW_UPDATE, 0, nth(i), h2::u32(0));
}
std::string window_overflow(uint32_t i) {
  return h2::frame(h2::HEADERS, h2::kEndHeaders, nth(i), h2::connect_head()) +
         h2::frame(h2::WINDOW_UPDATE, 0, nth(i), h2::u32(0x7fffffff));
}
std::string connect_with_path(uint32_t i) {
  return h2::frame(h2::HEADERS, h2::kEndHeaders, nth(i), h2::connect_head() + h2::field(":path", "/"));
}
std::string too_many_fields(uint32_t i) {
  std::string block = h2::connect_head();
  for (int n = 0; n < 101; ++n) block += h2::field("a", "");
  return h2::frame(h2::HEADERS, h2::kEndHeaders, nth(i), block);
}
std::string data_after_end(uint32_t i) { return h2::get(nth(i)) + h2::frame(h2::DATA, 0, nth(i), "late"); }
std::string continuation_flood(uint32_t i) {
  if (i == 0) return h2::frame(h2::HEADERS, 0, 1, h2::connect_head());
  return h2::frame(h2::CONTINUATION, 0, 1);
}
std::string hpack_bomb(uint32_t i) {  // one byte a field
  return h2::frame(h2::HEADERS, 0, nth(i), h2::connect_head() + std::string(500'000, '\x90'));
}
std::string large_settings(uint32_t) {
  std::string all;
  for (int i = 0; i < 2000; ++i) all += h2::setting(0x4, 65535);
  return h2::frame(h2::SETTINGS, 0, 0, all);
}
std::string pushed(uint32_t i) {
  return h2::frame(h2::PUSH, h2::kEndHeaders, nth(i), h2::u32(2) + h2::connect_head());
}

// ---- a peer that never reads ----

std::string pings(uint32_t) { return h2::frame(h2::PING, 0, 0, "12345678"); }
std::string settings(uint32_t) { return h2::frame(h2::SETTINGS, 0, 0, h2::setting(0x4, 65535)); }

Task<void> given_up_unread(Attack attack) {
  Attacked a(Session::Role::server);
  Status sent = co_await send_text(*a.pair.near, hello());
  CHECK(sent);
  uint32_t through = 0;
  Task<void> sending = send(*a.pair.near, attack, through);
  sending.start();
  Status ended = co_await a.running;
  INFO(attack.name << ": " << through << " sent");
  CHECK(through < attack.times);
  CHECK_FALSE(ended);
  a.pair.far.reset();
  co_await sending;
}

// ---- floods that cost only their sender ----

std::string empty_data(uint32_t i) {
  if (i == 0) return h2::frame(h2::HEADERS, h2::kEndHeaders, 1, h2::connect_head());
  return h2::frame(h2::DATA, 0, 1);
}
std::string priorities(uint32_t i) {
  return h2::frame(h2::PRIORITY, 0, nth(i % 1000), h2::u32(nth((i + 1) % 1000)) + "\x10");
}
std::string window_updates(uint32_t) { return h2::frame(h2::WINDOW_UPDATE, 0, 0, h2::u32(1)); }
std::string unknown_frames(uint32_t) {
  return h2::frame(static_cast<h2::Type>(0x42), 0xff, 7, "what is this");
}

Task<void> echo(std::unique_ptr<Exchange> exchange) {
  Status answered = exchange->respond({{":status", "200"}}, false);
  CHECK(answered);
  uint64_t bytes = 0;
  Status pumped = co_await pump(*exchange, *exchange, bytes);
}

// One echo over sessions of its own, on the loop that is under attack.
Task<void> neighbour(std::string text) {
  StreamPair pair;
  Session client(Session::Role::client, *pair.near, {});
  Session server(Session::Role::server, *pair.far, {},
                 [](std::unique_ptr<Exchange> e) { Loop::current().spawn("echo", echo(std::move(e))); });
  Task<Status> client_run = client.run(), server_run = server.run();
  client_run.start();
  server_run.start();
  Result<std::unique_ptr<Exchange>> tunnel =
      client.request({{":method", "CONNECT"}, {":authority", "a:1"}}, false);
  REQUIRE(tunnel);
  Status answered = co_await (*tunnel)->headers();
  CHECK(answered);
  std::string got;
  Task<void> sending = send_and_finish(**tunnel, text);
  sending.start();
  co_await read_all(**tunnel, got);
  co_await sending;
  CHECK((got == text));
  tunnel->reset();
  client.drain();
  Status first = co_await client_run;
  Status second = co_await server_run;
}

Task<void> neighbours_go_on(Attack attack) {
  INFO(attack.name);
  size_t alive = 0, most = 0;
  Attacked a(Session::Role::server, {}, [&](std::unique_ptr<Exchange> e) {
    Loop::current().spawn("hold", hold(std::move(e), alive, most));
  });
  Listener listener(*a.pair.near);
  Status sent = co_await send_text(*a.pair.near, hello());
  CHECK(sent);
  uint32_t through = 0;
  Task<void> sending = send(*a.pair.near, attack, through);
  sending.start();
  co_await neighbour(pattern(1 << 20, 3));
  CHECK(through > 0);
  CHECK(through < attack.times);
  a.session.close(Errc::closed);
  Status ended = co_await a.running;
  a.pair.far.reset();
  co_await sending;
  co_await listener.end();
  CHECK(alive == 0);
}

// ---- slow readers and windows ----

Task<void> respond_at_length(std::unique_ptr<Exchange> exchange, size_t& failed) {
  Status answered = exchange->respond({{":status", "200"}}, false);
  Status sent = co_await send_text(*exchange, pattern(1 << 20, 9));
  failed += !sent;
}

// The second half of the "HTTP/2 bomb": windows held shut. Nothing is framed, and all ends with the session.
Task<void> zero_window_held() {
  size_t failed = 0;
  Attacked a(Session::Role::server, {}, [&failed](std::unique_ptr<Exchange> e) {
    Loop::current().spawn("respond", respond_at_length(std::move(e), failed));
  });
  Listener listener(*a.pair.near);
  std::string all = std::string(h2::kPreface) + h2::frame(h2::SETTINGS, 0, 0, h2::setting(0x4, 0));
  for (uint32_t i = 0; i < 200; ++i) all += h2::get(nth(i));
  Status sent = co_await send_text(*a.pair.near, all + h2::frame(h2::PING, 0, 0, "all done"));
  CHECK(sent);
  co_await listener.until(h2::PING, 1, "all done");
  CHECK(a.session.exchanges() == 200);
  CHECK(listener.count(h2::DATA) == 0);
  a.session.close(Errc::closed);
  Status ended = co_await a.running;
  a.pair.far.reset();
  co_await listener.end();
  CHECK(failed == 200);
}

// It never reads, but says again and again that it got our ping.
Task<void> forge_pongs(Stream& to) {
  for (;;) {
    Status sent = co_await send_text(to, h2::frame(h2::PING, h2::kAck, 0, std::string(8, '\0')));
    if (!sent) co_return;
    co_await Sleep(10);
  }
}

Task<void> forged_pongs() {
  Limits limits;
  limits.ping_every_ms = 20;
  limits.ping_timeout_ms = 60;
  Attacked a(Session::Role::server, limits);
  Status sent = co_await send_text(*a.pair.near, hello());
  Task<void> forging = forge_pongs(*a.pair.near);
  forging.start();
  Status ended = co_await a.running;
  REQUIRE_FALSE(ended);
  CHECK(ended.error().detail == "HBONE ping timeout");
  a.pair.far.reset();
  co_await forging;
}

// Requests that are reset at once while their stories go on: counted until the stories end.
Task<void> stubborn([[maybe_unused]] std::unique_ptr<Exchange> exchange, Event& release, size_t& alive,
                    size_t& most) {
  most = std::max(most, ++alive);
  co_await release;
  --alive;
}

Task<void> reset_while_busy() {
  Event release("release");
  size_t alive = 0, most = 0;
  Limits limits;
  limits.max_concurrent_streams = 10;
  Attacked a(Session::Role::server, limits, [&](std::unique_ptr<Exchange> e) {
    Loop::current().spawn("stubborn", stubborn(std::move(e), release, alive, most));
  });
  Listener listener(*a.pair.near);
  Status sent = co_await send_text(*a.pair.near, hello());
  for (uint32_t i = 0; i < 100; ++i) {  // each request is delivered before its reset is sent
    sent = co_await send_text(*a.pair.near,
                              h2::get(nth(i)) + h2::frame(h2::PING, 0, 0, h2::u32(0) + h2::u32(i)));
    co_await listener.until(h2::PING, 1, h2::u32(0) + h2::u32(i));
    sent = co_await send_text(*a.pair.near, h2::frame(h2::RST_STREAM, 0, nth(i), h2::u32(8)));
    CHECK(sent);
  }
  CHECK(most == 20);
  CHECK(listener.count(h2::RST_STREAM, h2::u32(7)) >= 80);
  release.set();
  a.session.close(Errc::closed);
  Status ended = co_await a.running;
  a.pair.far.reset();
  co_await listener.end();
  CHECK(alive == 0);
}

// ---- malicious servers ----

Task<void> wait_for_answer(Session& client, size_t& failed, Errc& last) {
  Result<std::unique_ptr<Exchange>> tunnel =
      client.request({{":method", "CONNECT"}, {":authority", "a:1"}}, false);
  REQUIRE(tunnel);
  Status answered = co_await (*tunnel)->headers();
  if (answered) co_return;
  ++failed;
  last = answered.error().code;
}

std::string goaway(uint32_t last, uint32_t code) {
  return h2::frame(h2::GOAWAY, 0, 0, h2::u32(last) + h2::u32(code));
}

// 30 requests are open, then `said` comes from the server: every one of them must learn of it.
Task<void> every_request_ends(std::string said, Errc expected) {
  Attacked a(Session::Role::client);
  Listener listener(*a.pair.near);
  Status sent = co_await send_text(*a.pair.near, h2::frame(h2::SETTINGS, 0, 0, h2::setting(0x3, 20)));
  std::list<Task<void>> requests;
  size_t failed = 0;
  Errc last{};
  co_await listener.until(h2::SETTINGS, 2);  // ours, and the acknowledgement of theirs
  for (int i = 0; i < 30; ++i) {             // ten of them wait for a place
    requests.push_back(wait_for_answer(a.session, failed, last));
    requests.back().start();
  }
  co_await listener.until(h2::HEADERS, 20);
  sent = co_await send_text(*a.pair.near, said);
  for (Task<void>& each : requests) co_await each;
  CHECK(failed == 30);
  CHECK(last == expected);
  CHECK(a.session.exchanges() == 0);
  CHECK_FALSE(a.session.usable());
  a.pair.near->finish();
  Status ended = co_await a.running;
  a.pair.far.reset();
  co_await listener.end();
}

// A stream that ends without END_STREAM was cut, whatever the code says.
Task<void> cut_politely(uint32_t code) {
  Attacked a(Session::Role::client);
  Result<std::unique_ptr<Exchange>> tunnel =
      a.session.request({{":method", "CONNECT"}, {":authority", "a:1"}}, false);
  REQUIRE(tunnel);
  Status sent = co_await send_text(*a.pair.near, h2::frame(h2::SETTINGS, 0, 0) +
                                                     h2::frame(h2::HEADERS, h2::kEndHeaders, 1, "\x88") +
                                                     h2::frame(h2::DATA, 0, 1, "half of an ans"));
  Status answered = co_await (*tunnel)->headers();
  CHECK(answered);
  (*tunnel)->finish();
  std::string got;
  co_await read_n(**tunnel, 14, got);
  sent = co_await send_text(*a.pair.near, h2::frame(h2::RST_STREAM, 0, 1, h2::u32(code)));
  std::optional<Error> why;
  co_await read_all(**tunnel, got, &why);
  CHECK(got == "half of an ans");
  REQUIRE(why);
  CHECK(why->code == Errc::reset);
  tunnel->reset();
  a.session.close(Errc::closed);
  Status ended = co_await a.running;
}

// A connection error, and frames that nghttp2 must not be fed any more (CVE-2026-27135).
Task<void> frames_after_terminate() {
  Attacked a(Session::Role::server);
  std::string all = hello() + h2::frame(h2::DATA, 0, 0, "on stream 0");
  for (uint32_t i = 0; i < 1000; ++i) {
    all +=
        h2::get(nth(i)) + h2::frame(h2::PRIORITY, 0, 1, "too short") + h2::frame(h2::SETTINGS, 0, 0, "bad");
    all += h2::frame(static_cast<h2::Type>(0xa), 0, 1, "ALTSVC") +
           h2::frame(static_cast<h2::Type>(0x10), 0, 0, "x");
  }
  Listener listener(*a.pair.near);
  Status sent = co_await send_text(*a.pair.near, all);
  Status ended = co_await a.running;
  CHECK_FALSE(ended);
  a.pair.far.reset();
  co_await listener.end();
  CHECK(listener.count(h2::GOAWAY) == 1);
  CHECK(listener.count(h2::HEADERS) == 0);
}

// Who is not to be talked to any more hears that it is over, and what it says after that is not served.
Task<void> dismissed() {
  size_t alive = 0, most = 0;
  Attacked a(Session::Role::server, {}, [&](std::unique_ptr<Exchange> e) {
    Loop::current().spawn("hold", hold(std::move(e), alive, most));
  });
  Listener listener(*a.pair.near);
  Status sent = co_await send_text(*a.pair.near,
                                   hello() + h2::frame(h2::HEADERS, h2::kEndHeaders, 1, h2::connect_head()));
  CHECK(sent);
  while (alive == 0) co_await Sleep(1);
  a.session.dismiss(Errc::revoked);
  sent = co_await send_text(*a.pair.near, h2::frame(h2::HEADERS, h2::kEndHeaders, 3, h2::connect_head()));
  co_await listener.until(h2::GOAWAY, 1);
  Status ended = co_await a.running;
  REQUIRE_FALSE(ended);
  CHECK(ended.error().code == Errc::revoked);
  CHECK(alive == 0);
  CHECK(most == 1);
  a.pair.far.reset();
  co_await listener.end();
  CHECK(listener.count(h2::GOAWAY, h2::u32(1) + h2::u32(0)) == 1);
}

}  // namespace

TEST_CASE("a peer that is dismissed hears a GOAWAY without an error") {
  Loop loop;
  run(loop, dismissed());
}

TEST_CASE("an attack with resets, headers or settings ends in GOAWAY") {
  const Attack kAttacks[] = {
      {"rapid reset", rapid_reset, 100'000},
      {"MadeYouReset by a window update of 0", zero_window_update, 100'000},
      {"MadeYouReset by a window overflow", window_overflow, 100'000},
      {"CONNECT with a path", connect_with_path, 100'000},
      {"too many fields", too_many_fields, 20'000},
      {"DATA after END_STREAM", data_after_end, 100'000},
      {"CONTINUATION flood", continuation_flood, 1'000'000},
      {"HPACK bomb", hpack_bomb, 1000},
      {"large SETTINGS", large_settings, 2000},
      {"PUSH_PROMISE from a client", pushed, 100'000},
  };
  for (const Attack& each : kAttacks) {
    Loop loop;
    run(loop, ends_in_goaway(each));
  }
}
TEST_CASE("a peer that makes us answer and never reads is given up") {
  for (const Attack& each : {Attack{"pings", pings, 4'000'000}, Attack{"settings", settings, 4'000'000}}) {
    Loop loop;
    run(loop, given_up_unread(each));
  }
}
TEST_CASE("a flood that breaks no rule leaves the loop to its neighbours") {
  for (const Attack& each :
       {Attack{"empty DATA", empty_data, 40'000'000}, Attack{"PRIORITY", priorities, 40'000'000},
        Attack{"window updates", window_updates, 40'000'000},
        Attack{"unknown", unknown_frames, 40'000'000}}) {
    Loop loop;
    run(loop, neighbours_go_on(each));
  }
}
TEST_CASE("windows that are held shut cost no memory and end with the connection") {
  Loop loop;
  run(loop, zero_window_held());
}
TEST_CASE("a peer that answers pings it did not read is given up") {
  Loop loop;
  run(loop, forged_pongs());
}
TEST_CASE("a request that was reset counts until its story has ended") {
  Loop loop;
  run(loop, reset_while_busy());
}
TEST_CASE("GOAWAY with SETTINGS of 0 ends every request, also those that wait for a place") {
  Loop loop;
  run(loop, every_request_ends(goaway(0, 0) + h2::frame(h2::SETTINGS, 0, 0, h2::setting(0x3, 0)),
                               Errc::refused_stream));
}
TEST_CASE("resets and then GOAWAY end every request") {
  std::string said;
  for (uint32_t i = 0; i < 20; ++i) said += h2::frame(h2::RST_STREAM, 0, nth(i), h2::u32(7));
  Loop loop;
  run(loop, every_request_ends(said + goaway(0, 0), Errc::refused_stream));
}
TEST_CASE("a stream that is reset before its END_STREAM never looks complete") {
  for (uint32_t code : {0u, 8u, 2u}) {
    Loop loop;
    run(loop, cut_politely(code));
  }
}
TEST_CASE("nothing is read after a connection error") {
  Loop loop;
  run(loop, frames_after_terminate());
}
