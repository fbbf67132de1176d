// SPDX-License-Identifier: Apache-2.0
// A worker's HBONE connections from clients: handshake, session, and the list that drain and dump walk.
#pragma once

#include <atomic>
#include <memory>
#include <optional>

#include "core/certificates.h"
#include "core/socket.h"
#include "core/tls_stream.h"
#include "hbone/session.h"
#include "l7/serve_tunnel.h"
#include "l7/worker.h"

namespace ambientd::l7 {

struct DownstreamLimits {
  uint64_t handshake_ms = 10'000;
  size_t handshakes = 1'000;
  size_t connections = 100'000;
};

// One of them. In `handshaking` until its TLS is up, then in `serving`.
struct Downstream : Listed<Downstream> {
  Scope scope;
  Peer peer;
  uint64_t since_ms = 0;
  hbone::Session* session = nullptr;
  std::string root;  // fingerprint of what verified the peer
  const SSL* tls = nullptr;
};

class Downstreams {
 public:
  // All outlive it. `self` is whose certificate is shown.
  Downstreams(Worker& worker, Certificates& certificates, Identity self, const DownstreamLimits& limits)
      : worker_(worker), certificates_(certificates), self_(std::move(self)), limits_(limits) {}

  // Takes an accepted connection; on the loop's thread. `load` was counted up for it and is counted down when
  // it ends.
  void take(Fd fd, std::atomic<size_t>& load);

  // GOAWAY on all; `drained` is called when the last has ended, at once when there is none.
  void drain(std::function<void()> drained);
  void cut(const Error& why);  // all of them, now
  // GOAWAY on those whose peers `now` would not believe any more.
  void reconsider(const WorkloadCertificate& now);
  void revoke();  // revocation lists changed: those whose peers are in them end now
  size_t size() const { return count_; }
  template <class F>
  void each(F visit) {
    serving_.each(visit);
    handshaking_.each(visit);
  }

 private:
  Task<void> serve(Fd fd, std::atomic<size_t>* load);
  Task<Result<std::unique_ptr<TlsStream>>> shake_hands(Fd fd, Scope& scope);
  Task<void> serve_session(Fd fd, Downstream& mine);
  void leave();

  Worker& worker_;
  Certificates& certificates_;
  Identity self_;
  DownstreamLimits limits_;
  List<Downstream> handshaking_, serving_;
  size_t count_ = 0;
  std::function<void()> drained_;
};

}  // namespace ambientd::l7
