// SPDX-License-Identifier: Apache-2.0
// HTTP/2 towards an upstream: each exchange is a stream of a shared session.
#pragma once

#include <memory>

#include "hbone/session.h"
#include "l7/codec.h"

namespace ambientd::l7 {

struct Http2Connection {
  explicit Http2Connection(std::unique_ptr<Stream> carrier);
  std::unique_ptr<Stream> transport;
  hbone::Session session;
};

class Http2Exchange final : public ClientExchange {
 public:
  // Sends `request` on `session`. Errors: those of Session::request; http_status when it upgrades and the
  // upstream does not take extended CONNECT.
  static Result<std::unique_ptr<ClientExchange>> send(hbone::Session& session, const Request& request);

  explicit Http2Exchange(std::unique_ptr<hbone::Exchange> stream, bool upgrades)
      : stream_(std::move(stream)), upgrades_(upgrades) {}

  Stream& stream() override { return *stream_; }
  const Fields& trailers() const override;
  Task<Result<Response>> response() override;
  Task<Status> finish(Fields trailers) override;

 private:
  std::unique_ptr<hbone::Exchange> stream_;
  bool upgrades_;
  mutable Fields trailers_;
};

}  // namespace ambientd::l7
