// SPDX-License-Identifier: Apache-2.0
#include "hbone/session.h"

#include <fmt/format.h>

#include <algorithm>

#include "hbone/callbacks.h"

namespace ambientd::hbone {
namespace {

constexpr size_t kBatch = 512 << 10;  // bytes of frames before writers wait
Error closed_because(Errc why) { return {why, fmt::format("http2 connection closed: {}", name(why))}; }

constexpr uint64_t kLastCallAfterMs = 500;  // between the two GOAWAYs of a graceful shutdown
constexpr uint64_t kFlushOnEndMs = 5000;    // for what is framed when a connection ends in peace
constexpr uint64_t kLingerMs = 1000;        // for the peer to end its side

struct OptionFree {
  void operator()(nghttp2_option* option) const { nghttp2_option_del(option); }
};

std::unique_ptr<nghttp2_option, OptionFree> session_options(const Limits& limits) {
  nghttp2_option* option = nullptr;
  nghttp2_option_new(&option);
  nghttp2_option_set_no_auto_window_update(option, 1);
  nghttp2_option_set_no_closed_streams(option, 1);
  nghttp2_option_set_max_outbound_ack(option, 200);
  nghttp2_option_set_max_send_header_block_length(option, limits.max_header_list);
  return std::unique_ptr<nghttp2_option, OptionFree>(option);
}

}  // namespace

Session::Session(Role role, Stream& transport, const Limits& limits, OnRequest on_request)
    : role_(role),
      transport_(transport),
      limits_(limits),
      on_request_(std::move(on_request)),
      ping_timer_([this] { on_ping_due(); }),
      stall_timer_([this] { on_stall_due(); }),
      goaway_timer_([this] { last_call(); }) {
  Loop::current().queued().holders.push_back(*this);
  auto option = session_options(limits_);
  if (role == Role::client) {
    nghttp2_session_client_new2(&h2_, session_callbacks(), this, option.get());
  } else {
    nghttp2_session_server_new2(&h2_, session_callbacks(), this, option.get());
  }
}

Session::~Session() { nghttp2_session_del(h2_); }

uint64_t Session::idle_ms() const { return exchanges_ > 0 ? 0 : Loop::current().now_ms() - idle_since_ms_; }

uint32_t Session::peer_max_streams() const {
  return nghttp2_session_get_remote_settings(h2_, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}

bool Session::peer_allows_extended_connect() const {
  return nghttp2_session_get_remote_settings(h2_, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1;
}

void Session::announce() {
  std::vector<nghttp2_settings_entry> settings;
  if (role_ == Role::client) {
    settings.push_back({NGHTTP2_SETTINGS_ENABLE_PUSH, 0});
  } else {
    settings.push_back({NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits_.max_concurrent_streams});
    if (limits_.enable_connect_protocol) settings.push_back({NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1});
  }
  settings.push_back({NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, limits_.stream_window});
  settings.push_back({NGHTTP2_SETTINGS_MAX_FRAME_SIZE, limits_.max_frame_size});
  settings.push_back({NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, limits_.max_header_list});
  nghttp2_submit_settings(h2_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  nghttp2_session_set_local_window_size(h2_, NGHTTP2_FLAG_NONE, 0,
                                        static_cast<int32_t>(limits_.connection_window));
}

Task<Status> Session::run() {
  announce();
  mark_dirty();
  Loop::current().set_timer(ping_timer_, limits_.ping_every_ms);
  Task<void> writer = write_loop();
  writer.start();
  Status status = co_await read_loop();
  end(status ? Error{Errc::eof, "connection closed by the peer"} : status.error());
  closing_ = true;
  dirty_.set();
  Timer give_up([this] { transport_.close(Errc::timed_out); });
  Loop::current().set_timer(give_up, status ? kFlushOnEndMs : kLingerMs);
  Task<void> lingering = linger();
  lingering.start();
  co_await writer;
  Loop::current().set_timer(give_up, kLingerMs);
  co_await lingering;
  while (exchanges_ > 0) {
    empty_.reset();
    co_await empty_;
  }
  co_return status;
}

// A socket that is closed while bytes for it wait unread is reset, and what was still on its way out is lost:
// the last responses, the GOAWAY. So the peer's side is read to its end, too.
Task<void> Session::linger() {
  static constexpr size_t kMost = 1 << 20;  // bytes: who sends more than was under way is not listening
  for (size_t dropped = 0; dropped < kMost;) {
    Result<Chunk> chunk = co_await transport_.read();
    if (!chunk || chunk->eof) co_return;
    dropped += total(chunk->data);
    transport_.consume(total(chunk->data));
  }
  transport_.close(Errc::closed);
}

// Nothing the peer may still say matters.
bool Session::over() const { return terminated_ || nghttp2_session_want_read(h2_) == 0; }

Task<Status> Session::read_loop() {
  for (;;) {
    Result<Chunk> chunk = co_await transport_.read();
    if (error_) co_return fail(*error_);
    if (!chunk) co_return fail(std::move(chunk.error()));
    if (chunk->eof || closing_) co_return Status{};
    if (over()) co_return fail(Errc::http2, "http2 session terminated");
    if (chunk->data.empty()) continue;
    Status fed = feed(*chunk);
    if (!fed) co_return fed;
    deliver_requests();
    mark_dirty();
    if (over()) co_return fail(Errc::http2, "http2 session terminated");
    // Readers take what just arrived before the loop's buffer is used again.
    if (!fresh_.empty()) co_await Loop::current().yield();
  }
}

Status Session::feed(const Chunk& chunk) {
  size_t size = total(chunk.data);
  for (const iovec& piece : chunk.data) {
    ssize_t n = nghttp2_session_mem_recv(h2_, static_cast<const uint8_t*>(piece.iov_base), piece.iov_len);
    if (n < 0) {
      nghttp2_session_terminate_session(h2_,
                                        NGHTTP2_ENHANCE_YOUR_CALM);  // beyond what GOAWAY it chose itself
      return fail(Errc::http2, fmt::format("http2 error: {}", nghttp2_strerror(static_cast<int>(n))));
    }
  }
  if (!fresh_.empty()) {
    home_ = chunk.home;
    if (home_) {
      home_->lend(*this);
    } else {
      stash();
    }
  }
  transport_.consume(size);
  credit_connection();
  enforce_budget();
  return {};
}

void Session::stash() {
  Borrower::unlink();
  for (Exchange* exchange : fresh_) exchange->stash();
  fresh_.clear();
}

void Session::deliver_requests() {
  std::vector<std::unique_ptr<Exchange>> arrived;
  arrived.swap(arrived_);
  for (std::unique_ptr<Exchange>& exchange : arrived) {
    if (exchange->open_) on_request_(std::move(exchange));  // else reset before anything was done for it
  }
}

Task<void> Session::write_loop() {
  for (;;) {
    co_await dirty_;
    co_await Loop::current().turn_end();
    dirty_.reset();
    bool last = closing_;
    while (frame() && !batch_.empty()) {
      iovec piece{batch_.data(), batch_.size()};
      Result<size_t> taken = co_await transport_.write({&piece, 1});
      if (!taken) {
        close(taken.error().code);
        last = true;
        break;
      }
      batch_.drop(*taken);
      release_writers();
    }
    if (last) break;
    if (over()) transport_.nudge();  // the read loop ends it
  }
  Result<size_t> flushed = co_await transport_.write({});
  transport_.finish();
  transport_.nudge();
}

bool Session::frame() {
  if (batch_.capacity() == 0) batch_ = Loop::current().take_buffer();
  int failed = nghttp2_session_send(h2_);
  if (batch_.empty()) Loop::current().give_buffer(std::exchange(batch_, {}));  // idle: it holds none
  if (failed == 0) return true;
  close(Errc::http2);
  return false;
}

size_t Session::frame_offer(const DataOffer& offer) {
  offer_ = offer;
  nghttp2_session_resume_data(h2_, offer.by->id_);
  frame();
  return std::exchange(offer_, {}).left;
}

void Session::mark_dirty() { dirty_.set(); }

size_t Session::room() const { return batch_.size() >= kBatch ? 0 : kBatch - batch_.size(); }

void Session::wait_for_room(Exchange& exchange) {
  if (std::ranges::find(want_room_, &exchange) == want_room_.end()) want_room_.push_back(&exchange);
}

void Session::release_writers() {
  if (room() == 0) return;
  for (Exchange* exchange : std::exchange(want_room_, {})) exchange->writer_.wake();
}

Result<std::unique_ptr<Exchange>> Session::request(const Headers& headers, bool end) {
  if (!usable()) return fail(Errc::draining, "pool draining");
  std::unique_ptr<Exchange> exchange(new Exchange(*this));
  int32_t id = submit_request(h2_, headers, end, *exchange);
  if (id == NGHTTP2_ERR_STREAM_ID_NOT_AVAILABLE) {
    draining_ = true;
    return fail(Errc::draining, "out of stream ids");
  }
  if (id < 0) return fail(Errc::http2, fmt::format("h2 failed: {}", nghttp2_strerror(id)));
  exchange->finishing_ = exchange->end_framed_ = end;
  attach(*exchange, id);
  mark_dirty();
  return exchange;
}

void Session::attach(Exchange& exchange, int32_t id) {
  exchange.id_ = id;
  exchange.open_ = true;
  all_.push_back(exchange);
  windows_ += exchange.window_;
}

void Session::detach(Exchange& exchange) {
  if (exchange.open_) {
    if (!error_ && !(exchange.eof_ && exchange.finishing_)) reset(exchange, exchange.reset_code());
    bool owed = exchange.finishing_ && !exchange.end_framed_ && !exchange.our_trailers().empty();
    if (owed && !exchange.error_)
      trailers_left_.emplace(exchange.id_, std::move(exchange.heads().our_trailers));
    exchange.let_go();
  }
  std::erase(fresh_, &exchange);
  std::erase(want_room_, &exchange);
  unqueued(exchange, exchange.queued_);
  if (--exchanges_ == 0) {
    idle_since_ms_ = Loop::current().now_ms();
    empty_.set();
    end_if_idle();
  }
}

// What was submitted before the reset still goes out: nghttp2 drops what it has not framed.
void Session::reset(Exchange& exchange, uint32_t code) {
  frame();
  nghttp2_submit_rst_stream(h2_, NGHTTP2_FLAG_NONE, exchange.id_, code);
  mark_dirty();
}

// Every exchange fails; nothing new can start.
void Session::end(Error error) {
  if (!error_) error_ = std::move(error);
  arrived_.clear();
  arriving_.clear();
  all_.each([this](Exchange& exchange) {
    if (!exchange.open_) return;
    bool sent = nghttp2_session_find_stream(h2_, exchange.id_) != nullptr;
    if (!sent) exchange.fail_with({Errc::refused_stream, "the connection ended before the request was sent"});
    exchange.let_go();
    exchange.fail_with(*error_);
  });
  ping_timer_.cancel();
  stall_timer_.cancel();
  goaway_timer_.cancel();
}

void Session::close(Errc why) {
  if (!error_) error_ = closed_because(why);
  transport_.close(why);
}

void Session::dismiss(Errc why) {
  if (error_) return;
  error_ = closed_because(why);
  nghttp2_session_terminate_session(h2_, NGHTTP2_NO_ERROR);
  mark_dirty();
  transport_.nudge();  // the read loop ends, then the write loop with what is framed
}

void Session::drain() {
  if (draining_) return;
  draining_ = true;
  if (role_ == Role::server) {
    nghttp2_submit_shutdown_notice(h2_);
    Loop::current().set_timer(goaway_timer_, kLastCallAfterMs);
  } else {
    last_call();
  }
  mark_dirty();
}

void Session::last_call() {
  last_call_ = true;
  nghttp2_submit_goaway(h2_, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(h2_),
                        NGHTTP2_NO_ERROR, nullptr, 0);
  mark_dirty();
  end_if_idle();
}

void Session::end_if_idle() {
  if (!last_call_ || exchanges_ > 0) return;
  closing_ = true;
  mark_dirty();
}

Headers Session::take_trailers(int32_t id) {
  auto left = trailers_left_.extract(id);
  return left ? std::move(left.mapped()) : Headers{};
}

}  // namespace ambientd::hbone
