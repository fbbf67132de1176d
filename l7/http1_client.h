// SPDX-License-Identifier: Apache-2.0
// HTTP/1.1 towards an upstream: one exchange at a time on a connection, which goes back to its owner when the
// exchange left it clean, and is closed otherwise.
#pragma once

#include <functional>
#include <memory>

#include "l7/codec.h"
#include "l7/http1_stream.h"

namespace ambientd::l7 {

struct Http1Connection {
  explicit Http1Connection(std::unique_ptr<Stream> carrier)
      : transport(std::move(carrier)), stream(*transport, http1::Role::response) {}
  std::unique_ptr<Stream> transport;
  Http1Stream stream;
  uint64_t idle_since_ms = 0;
  bool used = false;  // it carried an exchange before
};

class Http1Exchange final : public ClientExchange {
 public:
  using GiveBack = std::function<void(std::unique_ptr<Http1Connection>)>;

  Http1Exchange(std::unique_ptr<Http1Connection> connection, GiveBack give_back);
  ~Http1Exchange() override;

  // Sends the request's head; once. Errors: invalid when it cannot be written, or the connection's.
  Task<Status> send(const Request& request);

  Stream& stream() override { return connection_->stream; }
  const Fields& trailers() const override { return connection_->stream.trailers(); }
  Task<Result<Response>> response() override;
  Task<Status> finish(Fields trailers) override;

  // The connection was used before and ended before any byte of this response: the server had closed it when
  // the request was on its way, so it has not seen it (RFC 9112 §9.3.1).
  bool stale() const { return connection_->used && !connection_->stream.head_begun(); }

 private:
  std::unique_ptr<Http1Connection> connection_;
  GiveBack give_back_;
  bool request_sent_ = false;
  bool keep_alive_ = false;  // as the response said
};

}  // namespace ambientd::l7
