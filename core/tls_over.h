// SPDX-License-Identifier: Apache-2.0
// TLS over another Stream, as a Stream: what runs inside a tunnel that somebody in between terminates. For
// TLS over a socket there is TlsStream, which copies less.
//
// A write that the carrier has not taken whole is not reported as taken until it has: whoever writes offers
// the same bytes first again, as every Stream's writer does.
#pragma once

#include <memory>
#include <optional>

#include "core/certificate.h"
#include "core/loan.h"
#include "core/scope.h"
#include "core/stash.h"
#include "core/stream.h"
#include "core/task.h"
#include "core/tls_records.h"

namespace ambientd {

class TlsOver final : public Stream {
 public:
  // Shakes hands over `carrier`; otherwise as TlsStream::handshake().
  static Task<Result<std::unique_ptr<TlsOver>>> handshake(std::unique_ptr<Stream> carrier, SslPtr ssl,
                                                          Scope& scope);
  ~TlsOver() override = default;

  void consume(size_t n) override { loan_.consume(n); }
  void finish() override;
  void close(Errc why) override;

  const SSL* ssl() const { return ssl_.get(); }

 private:
  TlsOver(std::unique_ptr<Stream> carrier, SslPtr ssl);

  bool poll_read(Result<Chunk>& out) override;
  bool poll_write(std::span<const iovec> data, Result<size_t>& out) override;

  size_t feed(const Chunk& chunk);  // to OpenSSL; how many bytes of it
  bool decrypt();                   // false: nothing readable came of it
  bool encrypt(std::span<const iovec> data);
  void collect();  // what OpenSSL has written
  bool push();     // to the carrier; false: it does not take it now
  void fail_with(Error error);

  std::unique_ptr<Stream> carrier_;
  SslPtr ssl_;
  Loan loan_;             // read and not consumed
  Stash out_;             // encrypted, not yet taken by the carrier
  size_t encrypted_ = 0;  // plain bytes in out_: reported as taken once it is empty
  Rekey rekey_;
  bool fed_ = false;  // OpenSSL may have more to decrypt
  bool eof_ = false;
  std::optional<Error> error_;
};

}  // namespace ambientd
