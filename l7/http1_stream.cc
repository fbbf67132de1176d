// SPDX-License-Identifier: Apache-2.0
#include "l7/http1_stream.h"

#include <algorithm>

#include "core/relay.h"

namespace ambientd::l7 {
namespace {

using http1::Framing;

iovec iov_of(std::string_view text) { return {const_cast<char*>(text.data()), text.size()}; }

std::string_view first_text(std::span<const iovec> data) {
  for (const iovec& piece : data) {
    if (piece.iov_len > 0) return {static_cast<const char*>(piece.iov_base), piece.iov_len};
  }
  return {};
}

// Appends the first `most` bytes of `data`; returns how many there were.
size_t append_front(std::vector<iovec>& into, std::span<const iovec> data, size_t most) {
  size_t done = 0;
  for (const iovec& piece : data) {
    size_t n = std::min(piece.iov_len, most - done);
    if (n > 0) into.push_back({piece.iov_base, n});
    done += n;
  }
  return done;
}

}  // namespace

Http1Stream::Http1Stream(Stream& transport, http1::Role reads) : transport_(transport), parser_(reads) {
  view(transport);
}

// ---- reading ----

Task<Result<http1::Head>> Http1Stream::read_head() {
  read_ended_ = false;
  read_end_.reset();
  head_begun_ = false;
  trailers_.clear();
  for (;;) {
    Result<Chunk> chunk = co_await transport_.read();
    if (!chunk) co_return fail(std::move(chunk.error()));
    if (chunk->eof) {
      Status ended = transport_eof();
      if (!ended) co_return fail(std::move(ended.error()));
      co_return fail(Errc::eof, "HTTP/1 connection closed by the peer");
    }
    Result<std::optional<http1::Head>> head = take_head(chunk->data);
    if (!head) co_return fail(std::move(head.error()));
    if (*head) co_return std::move(**head);
  }
}

// From the first piece only: consume() may move the rest, which the next read lends again.
Result<std::optional<http1::Head>> Http1Stream::take_head(std::span<const iovec> data) {
  std::string_view input = first_text(data);
  size_t offered = input.size();
  head_begun_ = head_begun_ || offered > 0;
  Result<http1::Event> event = parser_.next(input);
  transport_.consume(offered - input.size());
  if (!event) return fail(std::move(event.error()));
  http1::Head* head = std::get_if<http1::Head>(&*event);
  if (!head) return std::nullopt;
  bool body = head->framing == Framing::chunked || head->framing == Framing::until_close ||
              (head->framing == Framing::length && head->length > 0);
  if (!body) {
    Status ended = step({});
    if (!ended) return fail(std::move(ended.error()));
  }
  return std::move(*head);
}

Status Http1Stream::transport_eof() {
  Result<http1::Event> event = parser_.close();
  if (!event) return fail(std::move(event.error()));
  if (std::holds_alternative<http1::End>(*event)) set_read_end();
  return {};
}

void Http1Stream::set_read_end() {
  read_ended_ = true;
  read_end_.set();
}

// Takes one event off the front of `input`, which the transport lent.
Status Http1Stream::step(std::string_view input) {
  std::string_view rest = input;
  Result<http1::Event> event = parser_.next(rest);
  if (!event) return fail(std::move(event.error()));
  size_t taken = input.size() - rest.size();
  if (const http1::Body* body = std::get_if<http1::Body>(&*event)) {
    body_left_ = body->bytes.size();
    taken -= body_left_;
  } else if (http1::Trailers* trailers = std::get_if<http1::Trailers>(&*event)) {
    trailers_ = std::move(trailers->fields);
  } else if (std::holds_alternative<http1::End>(*event)) {
    set_read_end();
  }
  if (taken > 0) transport_.consume(taken);
  return {};
}

void Http1Stream::lend(const Chunk& chunk, Result<Chunk>& out) {
  lent_.clear();
  append_front(lent_, chunk.data, body_left_);
  out = Chunk{.data = lent_, .home = chunk.home};
}

// The end needs no more input than what went before it.
bool Http1Stream::at_end(Result<Chunk>& out) {
  if (!read_ended_ && body_left_ == 0) {
    Status status = step({});
    if (!status) {
      out = fail(std::move(status.error()));
      return true;
    }
  }
  if (read_ended_) out = Chunk{.eof = true};
  return read_ended_;
}

bool Http1Stream::poll_read(Result<Chunk>& out) {
  if (raw_) return transport_.try_read(out);
  while (!at_end(out)) {
    Result<Chunk> chunk;
    if (!transport_.try_read(chunk)) return false;
    if (!chunk || (!chunk->eof && total(chunk->data) == 0)) {
      out = std::move(chunk);
      return true;
    }
    if (!chunk->eof && body_left_ > 0) {
      lend(*chunk, out);
      return true;
    }
    Status status = chunk->eof ? transport_eof() : step(first_text(chunk->data));
    if (status && chunk->eof && !read_ended_) status = fail(Errc::eof, "HTTP/1 body cut short");
    if (!status) {
      out = fail(std::move(status.error()));
      return true;
    }
  }
  return true;
}

void Http1Stream::consume(size_t n) {
  if (!raw_) body_left_ -= n;
  transport_.consume(n);
}

// ---- writing ----

Task<Status> Http1Stream::send_head(const http1::Head& head) {
  Result<std::string> text = http1::write_head(head);
  if (!text) co_return fail(std::move(text.error()));
  out_ += *text;
  framing_ = head.framing;
  left_ = head.framing == Framing::length ? head.length : 0;
  if (framing_ == Framing::tunnel || (framing_ == Framing::length && left_ == 0)) framing_ = Framing::none;
  co_return co_await flush();
}

Task<Status> Http1Stream::end_message(const http1::Fields& trailers) {
  Framing was = std::exchange(framing_, Framing::none);
  if (left_ > 0) co_return fail(Errc::eof, "HTTP/1 body shorter than announced");
  if (was == Framing::chunked) {
    Result<std::string> last = http1::last_chunk(trailers);
    if (!last) last = http1::last_chunk();
    if (!last) co_return fail(std::move(last.error()));
    out_ += *last;
  }
  co_return co_await flush();
}

Task<Status> Http1Stream::flush() {
  while (!out_.empty()) {
    iovec piece = iov_of(out_);
    Result<size_t> taken = co_await transport_.write({&piece, 1});
    if (!taken) co_return fail(std::move(taken.error()));
    out_.erase(0, *taken);
  }
  co_return Status{};
}

// What goes to the transport: pending framing, at most `most` bytes of data, and the chunk's end. Returns the
// bytes of data.
size_t Http1Stream::gather(std::span<const iovec> data, size_t most) {
  gathered_.clear();
  if (!out_.empty()) gathered_.push_back(iov_of(out_));
  size_t offered = append_front(gathered_, data, most);
  if (framing_ == Framing::chunked && offered == left_) gathered_.push_back(iov_of(http1::kChunkEnd));
  return offered;
}

// The transport took `taken` bytes of what gather() made.
void Http1Stream::written(size_t taken, size_t offered) {
  size_t framing = std::min(taken, out_.size());
  out_.erase(0, framing);
  taken -= framing;
  size_t data = std::min(taken, offered);
  left_ -= data;
  if (framing_ == Framing::chunked && left_ == 0 && out_.empty() && data == offered && data > 0)
    out_ = http1::kChunkEnd.substr(taken - data);
}

bool Http1Stream::poll_write(std::span<const iovec> data, Result<size_t>& out) {
  if (raw_ && out_.empty()) return transport_.try_write(data, out);
  size_t size = total(data);
  if (!raw_ && size > 0 && framing_ == Framing::none) {
    out = fail(Errc::bad_request, "HTTP/1 body longer than announced");
    return true;
  }
  if (framing_ == Framing::chunked && left_ == 0 && size > 0) {
    out_ += http1::chunk_header(size);
    left_ = size;
  }
  size_t before = out_.size();
  size_t offered = gather(data, raw_ ? size : std::min<uint64_t>(size, left_));
  Result<size_t> taken{0};
  if (!transport_.try_write(gathered_, taken)) return false;
  if (!taken) {
    out = std::move(taken);
    return true;
  }
  size_t of_data = *taken > before ? std::min(*taken - before, offered) : 0;
  if (raw_) {
    out_.erase(0, std::min(*taken, before));
  } else {
    written(*taken, offered);
    if (framing_ == Framing::length && left_ == 0) framing_ = Framing::none;
  }
  out = of_data;
  return true;
}

// Only of a raw connection: messages are ended by end_message().
void Http1Stream::finish() { transport_.finish(); }

}  // namespace ambientd::l7
