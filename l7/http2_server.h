// SPDX-License-Identifier: Apache-2.0
// An HTTP/2 connection that we serve inside a tunnel, with prior knowledge (RFC 9113 §3.3): every request is
// a story of its own on the session's streams. Flow control is end to end: a stream is credited with what the
// upstream took.
#pragma once

#include "hbone/session.h"
#include "l7/codec.h"

namespace ambientd::l7 {

class Http2Server final : public Closable, public Listed<Http2Server> {
 public:
  // `transport` and `handler` outlive it.
  Http2Server(Stream& transport, Handler& handler);

  Task<Status> serve();  // until the connection and all its exchanges have ended; call once
  void drain() { session_.drain(); }
  void close(Errc why) override { session_.close(why); }

 private:
  class Exchange;
  Task<void> answer(std::unique_ptr<hbone::Exchange> stream);
  Task<void> refuse(hbone::Exchange& stream, Cause cause);

  Handler& handler_;
  hbone::Session session_;
};

}  // namespace ambientd::l7
