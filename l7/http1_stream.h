// SPDX-License-Identifier: Apache-2.0
// One side of an HTTP/1.1 connection: heads through read_head() and send_head(), and in between the body of
// the current message in each direction as a Stream, read and written in place: framing is taken off the
// front of what the transport lends and put around what it is given, no byte of a body is copied.
//
// The rule: a message's body is read to its eof before the next read_head(), and ended by end_message()
// before the next send_head().
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/http1.h"
#include "core/stream.h"
#include "core/task.h"
#include "core/wait.h"

namespace ambientd::l7 {

class Http1Stream final : public Stream {
 public:
  // `reads`: what comes in: requests (we serve) or responses. `transport` outlives it.
  Http1Stream(Stream& transport, http1::Role reads);

  // The next head. Errors: bad_request (refusal() says what to answer), eof, or the transport's.
  Task<Result<http1::Head>> read_head();
  // Whether any byte of the head that read_head() waits for has come.
  bool head_begun() const { return head_begun_; }
  int refusal() const { return parser_.status(); }
  // See http1::Parser; before read_head() of a response.
  void expect(std::string_view method, bool upgrade) { parser_.expect(method, upgrade); }

  // Sends a head, whose framing then holds for what is written. Errors: invalid, or the transport's.
  Task<Status> send_head(const http1::Head& head);
  // Ends the message that is being written; trailers go out where it is chunked.
  Task<Status> end_message(const http1::Fields& trailers);

  const http1::Fields& trailers() const { return trailers_; }  // of the message read; after its eof
  bool message_read() const { return read_ended_; }
  Event& read_end() { return read_end_; }  // set when the message has been read, reset by read_head()
  bool message_sent() const { return framing_ == http1::Framing::none && out_.empty(); }
  // From now on bytes pass through as they are, both ways.
  void make_raw() { raw_ = true; }

  void consume(size_t n) override;
  void finish() override;
  void close(Errc why) override { transport_.close(why); }

 private:
  bool poll_read(Result<Chunk>& out) override;
  bool poll_write(std::span<const iovec> data, Result<size_t>& out) override;

  Result<std::optional<http1::Head>> take_head(std::span<const iovec> data);
  Status step(std::string_view input);
  bool at_end(Result<Chunk>& out);
  void set_read_end();
  Status transport_eof();
  void lend(const Chunk& chunk, Result<Chunk>& out);

  size_t gather(std::span<const iovec> data, size_t most);
  void written(size_t taken, size_t offered);
  Task<Status> flush();

  Stream& transport_;
  http1::Parser parser_;
  bool raw_ = false;

  bool head_begun_ = false;
  bool read_ended_ = true;  // the message being read is complete
  Event read_end_{"end of the message"};
  size_t body_left_ = 0;  // bytes of body at the front of what the transport lends
  std::vector<iovec> lent_;
  http1::Fields trailers_;

  http1::Framing framing_ = http1::Framing::none;  // of the message being written
  uint64_t left_ = 0;                              // bytes of its body, or of its current chunk, still due
  std::string out_;                                // framing not yet taken by the transport
  std::vector<iovec> gathered_;
};

}  // namespace ambientd::l7
