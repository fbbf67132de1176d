// SPDX-License-Identifier: Apache-2.0
// A connected TCP socket as a Stream. It owns no buffer while idle: reads go into the loop's, writes straight
// to the kernel. There is one for each of very many connections, so what few need is allocated when they do.
#pragma once

#include <memory>

#include "core/loan.h"
#include "core/poll.h"
#include "core/socket.h"
#include "core/stream.h"

namespace ambientd {

class TcpStream final : public Stream {
 public:
  explicit TcpStream(Fd fd) : fd_(std::move(fd)), poll_(fd_.get(), &reader_, &writer_) {}
  ~TcpStream() override { poll_.forget(); }

  void consume(size_t n) override;
  void finish() override;
  // An unclean end: pending waits resolve, and the peer sees RST rather than a complete-looking end.
  void close(Errc why) override;

  // For who reads into memory of its own, instead of read(): while may_read() is false until_read(); then
  // read_into() gives what came (n == 0 without eof: nothing yet), in `room` from its front.
  bool may_read();
  struct Arrived {
    size_t n = 0;  // bytes
    bool eof = false;
  };
  Result<Arrived> read_into(std::span<const iovec> room);
  bool at_end() const;  // everything was read and the peer has finished its direction

  // True when the peer is gone for good (reset, or closed both ways), without reading anything.
  bool hung_up() const;
  int fd() const { return fd_.get(); }

 private:
  bool poll_read(Result<Chunk>& out) override;
  bool poll_write(std::span<const iovec> data, Result<size_t>& out) override;
  Result<Arrived> receive(std::span<const iovec> room);
  Loan& loan();

  Fd fd_;
  Poll poll_;
  bool eof_ = false;
  std::unique_ptr<Loan> loan_;  // read and not consumed; null until read() is first used
  std::unique_ptr<Error> error_;
};

}  // namespace ambientd
