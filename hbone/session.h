// SPDX-License-Identifier: Apache-2.0
// One HTTP/2 connection in either role, over any Stream: TLS for HBONE, a tunnel for what is inside one.
// nghttp2 does no I/O: run() feeds it what the transport lends and sends what it frames.
//
// Writing: an Exchange's write is framed at once into the session's open batch; the batch leaves at the end
// of the loop's turn, so the frames of all exchanges share one TLS write and one send(). While the transport
// does not take it, the batch fills up and writers wait: that is the whole of outbound back-pressure.
//
// Reading: DATA stays where TLS decrypted it; each exchange notes its pieces, its reader takes them in the
// same turn, and only what it leaves is copied before that buffer is used again. An exchange is credited for
// what its next hop took (RFC 9113 §5.2), the connection so that what is queued and what may still come stay
// within queued_per_connection: exchanges that stall (each holds at most its own window) cost the others
// nothing until all of that is full. Then, after stall_ms, the longest-stalled exchange is reset, counted and
// logged. All sessions of a loop share its budget: once that is exhausted nobody is credited, and the session
// that holds most of it pays the same way.
//
// Ending: drain() says GOAWAY and lets the exchanges finish; close() and a failed transport fail them. Either
// way what is framed still goes out, our side of the transport is finished, the peer's is read to its end for
// a moment (or it could lose our last frames to a TCP reset), and run() returns when every exchange is gone.
// A peer that misbehaves is given up: floods that make us answer fill nghttp2's bounded queue, resets it
// forces on us are a rate, and one that does not read answers no ping.
#pragma once

#include <nghttp2/nghttp2.h>

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/loop.h"
#include "core/stream.h"
#include "core/task.h"
#include "hbone/exchange.h"

namespace ambientd::hbone {

struct Limits {
  uint32_t max_concurrent_streams = 200;  // what we allow the peer (we serve)
  uint32_t stream_window = 256 << 10;     // an exchange starts with this many bytes of window …
  uint32_t stream_window_max = 4 << 20;   // … and grows to this while it drains
  uint32_t connection_window = 16 << 20;  // at most queued_per_connection
  uint32_t max_frame_size = 1 << 20;      // SETTINGS_MAX_FRAME_SIZE we announce
  uint32_t max_header_list = 65536;       // bytes, 32 a field included
  uint32_t max_fields = 100;
  size_t queued_per_connection = 16 << 20;
  uint64_t stall_ms = 10'000;
  uint64_t ping_every_ms = 10'000, ping_timeout_ms = 20'000;
  // RST_STREAMs a peer may force on us in a burst before we give it up (MadeYouReset); ten a second are
  // forgiven.
  uint32_t max_resets = 1024;
  bool enable_connect_protocol = false;  // RFC 8441
};

// Room for DATA at the end of the batch that a socket is read into (splice.h): pieces as large as the peer
// takes in one frame, nine bytes for its header before each.
struct Slots {
  std::array<iovec, 16> pieces;
  size_t size = 0;      // bytes of a piece
  bool filled = false;  // they hold bytes that are being framed
};

// What an exchange wants to send, during the call in which nghttp2 may frame it.
struct DataOffer {
  const Exchange* by = nullptr;
  std::span<const iovec> data{};  // empty: it lies in the slots
  size_t left = 0;                // bytes not framed yet
};

// Counts that metrics read; one writer, the session's loop.
struct SessionCounts {
  uint64_t stalled_resets = 0, peer_resets = 0, our_resets = 0, ping_timeouts = 0;
};

class Session final : public Closable, private Borrower, private Loop::Holder {
 public:
  enum class Role { client, server };
  // Gets every request, between reads; to be answered from a story of its own.
  using OnRequest = std::function<void(std::unique_ptr<Exchange>)>;

  // `transport` outlives the session.
  Session(Role role, Stream& transport, const Limits& limits, OnRequest on_request = {});
  ~Session();

  // Serves the connection until it ends and every exchange is gone. Call once.
  Task<Status> run();

  // Client: opens an exchange. Errors: draining (GOAWAY, closing), overloaded (no stream id or slot left),
  // http2. With `end` the request has no body.
  Result<std::unique_ptr<Exchange>> request(const Headers& headers, bool end);

  size_t exchanges() const { return exchanges_; }  // alive
  uint64_t idle_ms() const;                        // since when there has been none; 0 while there is one
  bool usable() const { return !error_ && !draining_ && !going_away_; }
  uint32_t peer_max_streams() const;  // as the peer announced
  bool peer_allows_extended_connect() const;

  void drain();                   // GOAWAY (RFC 9113 §6.8); existing exchanges finish, then run() ends
  void close(Errc why) override;  // now: every exchange fails with `why`
  void dismiss(Errc why);         // the same, but the peer is told: a GOAWAY without an error goes out first
  const SessionCounts& counts() const { return counts_; }

 private:
  friend class Exchange;
  friend struct Callbacks;

  Task<void> write_loop();
  Task<Status> read_loop();
  Task<void> linger();
  bool over() const;
  Status feed(const Chunk& chunk);
  void announce();  // our SETTINGS and window
  void last_call();
  void end_if_idle();
  void deliver_requests();
  void end(Error error);

  bool frame();                                // lets nghttp2 fill the batch; false: the session is broken
  size_t frame_offer(const DataOffer& offer);  // how many bytes of it were left
  void mark_dirty();                           // something is to be sent this turn
  size_t room() const;                         // bytes of DATA the batch still takes
  std::span<const iovec> slots(size_t window);
  void wait_for_room(Exchange& exchange);
  void release_writers();

  void queued(Exchange& exchange, size_t n);    // n bytes arrived and wait
  void unqueued(Exchange& exchange, size_t n);  // n of them went on
  void credit_connection();
  bool allows_growth(size_t by) const;
  size_t held() const override { return queued_; }
  void fed() override;
  bool pay(bool now) override;
  Exchange* longest_stalled();
  void on_stall_due();
  void reset_stalled(Exchange& exchange);
  void enforce_budget();
  bool full() const;
  void stash() override;
  void on_ping_due();
  void on_pong(const nghttp2_frame& frame);
  void on_forced_reset();
  Headers take_trailers(int32_t id);
  void attach(Exchange& exchange, int32_t id);
  void detach(Exchange& exchange);
  void reset(Exchange& exchange, uint32_t code);

  Role role_;
  Stream& transport_;
  Limits limits_;
  OnRequest on_request_;
  nghttp2_session* h2_ = nullptr;

  Buffer batch_;  // framed, not yet taken by the transport
  Slots slots_;   // at its end, while an exchange's bytes are read straight into it
  DataOffer offer_;
  Event dirty_{"something to send"};
  Event empty_{"last exchange"};
  Scratch* home_ = nullptr;           // where fresh DATA lies
  std::vector<Exchange*> fresh_;      // exchanges that point there
  std::vector<Exchange*> want_room_;  // writers that wait for the batch
  List<Exchange> all_;
  std::vector<std::unique_ptr<Exchange>> arriving_;  // requests whose headers are still coming
  std::vector<std::unique_ptr<Exchange>> arrived_;   // complete, to be delivered after this read
  std::map<int32_t, Headers> trailers_left_;         // by exchanges that went before a window let them out
  size_t exchanges_ = 0;
  uint64_t idle_since_ms_ = Loop::current().now_ms();
  size_t queued_ = 0;   // bytes all exchanges hold
  size_t windows_ = 0;  // bytes of window all open exchanges have
  Timer ping_timer_, stall_timer_, goaway_timer_;
  uint64_t ping_sent_ms_ = 0;      // 0: none is out
  std::array<uint8_t, 8> ping_{};  // what the answer must say
  uint64_t forced_resets_ = 0, forgiven_ms_ = 0;
  bool draining_ = false;    // we said GOAWAY: no new exchanges
  bool last_call_ = false;   // and the peer has had time to hear it: over when the last exchange goes
  bool going_away_ = false;  // the peer did
  bool terminated_ = false;  // we gave the peer up: nothing more is read (CVE-2026-27135)
  bool closing_ = false;     // nothing more will be framed: flush and end
  std::optional<Error> error_;
  SessionCounts counts_;
};

}  // namespace ambientd::hbone
