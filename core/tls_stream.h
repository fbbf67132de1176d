// SPDX-License-Identifier: Apache-2.0
// TLS over a TCP socket, as a Stream. A custom BIO puts OpenSSL between the loop's buffers: one recv() is
// decrypted into the loop's plain buffer as far as it reaches, all records of one write() leave in one
// send(). So an idle connection owns no buffer of ours, and OpenSSL keeps at most one incomplete record.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <optional>

#include "core/certificate.h"
#include "core/loan.h"
#include "core/poll.h"
#include "core/socket.h"
#include "core/stash.h"
#include "core/stream.h"
#include "core/task.h"
#include "core/tls_records.h"

namespace ambientd {

class TlsStream final : public Stream, private Drain {
 public:
  // Shakes hands over a connected socket. `ssl` carries the role (SSL_set_accept_state or connect_state), the
  // context and what is expected of the peer (core/tls.h). Errors: tls, identity, reset, eof, or what closes
  // scope.
  static Task<Result<std::unique_ptr<TlsStream>>> handshake(Fd fd, SslPtr ssl, Scope& scope);

  ~TlsStream() override { poll_.forget(); }

  void consume(size_t n) override;
  void finish() override;
  void close(Errc why) override;

  // New keys for what we send after so many records of up to 16 KiB, instead of 2^23.
  void rekey_after(uint32_t records) { rekey_.after(records); }

  SSL* ssl() const { return ssl_.get(); }
  int fd() const { return fd_.get(); }

 private:
  TlsStream(Fd fd, SslPtr ssl);

  bool poll_read(Result<Chunk>& out) override;
  bool poll_write(std::span<const iovec> data, Result<size_t>& out) override;
  bool drain() override;

  struct Readable;  // waits for bytes during the handshake
  struct Writable;
  Status step(bool& more);  // of the handshake
  void keep_early();

  // The BIO: what OpenSSL reads from and writes to.
  static BIO_METHOD* bio_method();
  static int bio_read(BIO* bio, char* out, size_t n, size_t* got);
  static int bio_write(BIO* bio, const char* data, size_t n, size_t* put);
  static long bio_ctrl(BIO* bio, int command, long, void*);

  enum class Fill { got, nothing, ended };
  Fill fill();     // one recv() into the loop's buffer
  bool decrypt();  // what was received, into the plain buffer; false: nothing readable came of it
  bool flush();    // sends what OpenSSL wrote; false: some is left
  void keep_unsent(size_t sent_of_kept);
  void fail_with(Error error);

  Fd fd_;
  Poll poll_;
  SslPtr ssl_;
  std::span<const uint8_t> wire_in_;  // received and not yet given to OpenSSL: in the loop's rx buffer
  Stash early_;                       // the same, kept over from the handshake
  Stash out_;                         // encrypted and not yet sent
  Loan loan_;                         // read and not consumed
  Rekey rekey_;
  bool eof_ = false;
  bool finishing_ = false;
  std::optional<Error> error_;
};

}  // namespace ambientd
