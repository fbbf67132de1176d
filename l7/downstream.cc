// SPDX-License-Identifier: Apache-2.0
#include "l7/downstream.h"

#include "core/deadline.h"
#include "core/log.h"
#include "core/tls.h"
#include "core/tls_stream.h"

namespace ambientd::l7 {
namespace {

hbone::Limits session_limits() {
  hbone::Limits limits;
  limits.max_concurrent_streams = 100;  // contract/waypoint.md §1.4
  limits.stream_window_max = 1 << 20;
  return limits;
}

}  // namespace

void Downstreams::take(Fd fd, std::atomic<size_t>& load) {
  if (count_ >= limits_.connections || drained_) {
    load.fetch_sub(1, std::memory_order_relaxed);
    log::debug("waypoint", "connection refused: too many, or going away", {{"connections", count_}});
    return;
  }
  if (handshaking_.size() >= limits_.handshakes) {
    Downstream& oldest = handshaking_.front();
    oldest.unlink();
    oldest.scope.close({Errc::overloaded, "too many TLS handshakes at once"});
  }
  Loop::current().spawn("waypoint connection", serve(std::move(fd), &load));
}

Task<void> Downstreams::serve(Fd fd, std::atomic<size_t>* load) {
  ++count_;
  {
    Downstream mine;
    mine.peer.address = peer_address(fd.get()).value_or(SockAddr{});
    mine.since_ms = Loop::current().now_ms();
    handshaking_.push_back(mine);
    co_await serve_session(std::move(fd), mine);
  }
  --count_;
  load->fetch_sub(1, std::memory_order_relaxed);
  leave();
}

Task<Result<std::unique_ptr<TlsStream>>> Downstreams::shake_hands(Fd fd, Scope& scope) {
  WorkloadCertificatePtr certificate = certificates_.current(self_);
  if (!certificate) co_return fail(Errc::identity, "no certificate for " + self_.uri() + " yet");
  SslPtr ssl(SSL_new(certificate->server.get()));
  SSL_set_accept_state(ssl.get());
  Deadline deadline(scope, limits_.handshake_ms, {Errc::timed_out, "TLS handshake timed out"});
  Result<std::unique_ptr<TlsStream>> tls =
      co_await TlsStream::handshake(std::move(fd), std::move(ssl), scope);
  if (!tls) co_return fail(scope.explain(std::move(tls.error())));
  co_return tls;
}

Task<void> Downstreams::serve_session(Fd fd, Downstream& mine) {
  std::string from = mine.peer.address.str();
  Result<std::unique_ptr<TlsStream>> tls = co_await shake_hands(std::move(fd), mine.scope);
  if (!tls) {
    log::warn("waypoint", "connection refused", {{"peer", from}, {"error", tls.error().detail}});
    co_return;
  }
  mine.peer.identity = peer_check((*tls)->ssl()).identity;
  mine.root = peer_check((*tls)->ssl()).root;
  serving_.push_back(mine);
  hbone::Session session(hbone::Session::Role::server, **tls, session_limits(),
                         [this, &mine](std::unique_ptr<hbone::Exchange> exchange) {
                           Loop::current().spawn("waypoint tunnel",
                                                 serve_tunnel(std::move(exchange), mine.peer, worker_));
                         });
  mine.session = &session;
  mine.scope.add(session);
  mine.tls = (*tls)->ssl();
  if (drained_) session.drain();
  if (!check_revoked(mine.tls)) session.close(Errc::revoked);  // since the handshake
  Status ended = co_await session.run();
  mine.session = nullptr;
  if (ended) co_return;
  log::debug("waypoint", "HBONE connection ended", {{"peer", from}, {"error", ended.error().detail}});
}

void Downstreams::leave() {
  if (drained_ && count_ == 0) drained_();
}

void Downstreams::drain(std::function<void()> drained) {
  drained_ = std::move(drained);
  each([](Downstream& each) {
    if (each.session) each.session->drain();
  });
  leave();
}

void Downstreams::revoke() {
  serving_.each([](Downstream& each) {
    if (each.session && !check_revoked(each.tls)) each.session->close(Errc::revoked);
  });
}

void Downstreams::reconsider(const WorkloadCertificate& now) {
  serving_.each([&now](Downstream& each) {
    if (each.session && !now.trusts(each.root)) each.session->drain();
  });
}

void Downstreams::cut(const Error& why) {
  each([&](Downstream& each) { each.scope.close(why); });
}

}  // namespace ambientd::l7
