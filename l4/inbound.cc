// SPDX-License-Identifier: Apache-2.0
#include "l4/inbound.h"

#include <fmt/format.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <cerrno>

#include "core/deadline.h"
#include "core/log.h"
#include "core/tcp_stream.h"
#include "core/tls.h"
#include "core/tls_stream.h"
#include "hbone/connect.h"
#include "hbone/exchange.h"
#include "hbone/splice.h"
#include "l4/baggage.h"
#include "l4/outcome.h"
#include "l4/proxy_header.h"
#include "l4/validate.h"

namespace ambientd::l4 {
namespace {

using hbone::Exchange;

// A peer's connection. It outlives its exchanges: the session ends after the last of them.
struct Peer {
  PodWorker& pod;
  SockAddr from, local;
  std::optional<Identity> identity;
};

// Counts a connection for the choice of the least loaded worker; the acceptor has added it.
class Loaded {
 public:
  explicit Loaded(Worker& worker) : worker_(worker) {}
  ~Loaded() { --worker_.load; }
  Loaded(const Loaded&) = delete;

 private:
  Worker& worker_;
};

Task<Result<std::unique_ptr<TlsStream>>> secure(PodWorker& pod, Fd fd, Identity& self) {
  Worker& worker = pod.worker;
  Handshake unproved(worker);
  Scope& scope = unproved.scope;
  Result<config::WorkloadPtr> own = co_await own_workload(pod);
  if (!own) co_return fail(std::move(own.error()));
  self = (*own)->identity();
  Deadline deadline(scope, worker.settings.handshake_ms, {Errc::timed_out, "tls handshake error: timed out"});
  Result<WorkloadCertificatePtr> certificate = co_await pod.certificate(self, scope);
  if (!certificate) co_return fail(Errc::identity, "identity error: " + certificate.error().detail);
  SslPtr ssl(SSL_new((*certificate)->server.get()));
  SSL_set_accept_state(ssl.get());
  Result<std::unique_ptr<TlsStream>> tls =
      co_await TlsStream::handshake(std::move(fd), std::move(ssl), scope);
  if (tls || scope.closed()) co_return tls;
  co_return fail(tls.error().code, "tls handshake error: " + tls.error().detail);
}

// What a CONNECT turns out to be before policy is asked.
struct Offer {
  config::WorkloadPtr self;
  SockAddr app;         // what policies judge
  std::string preface;  // the PROXY header the application gets first; empty: none
  std::string forwarded_host;
  Flow flow;
};

Flow flow_of(const Peer& peer, const config::Snapshot& snapshot, const hbone::Connect& connect,
             const config::WorkloadPtr& self) {
  Flow flow{.direction = Direction::inbound, .destination = self, .from = peer.from, .to = peer.local};
  flow.source =
      source_workload(snapshot, peer.pod.worker.settings.network, peer.from.ip, connect.forwarded_network);
  if (peer.pod.worker.settings.response_baggage && connect.baggage)
    flow.baggage = hbone::Baggage::parse(*connect.baggage);
  flow.mutual_tls = true;
  if (peer.identity) flow.source_identity = peer.identity->uri();
  flow.target_identity = self->identity().uri();
  flow.authority = connect.authority;
  return flow;
}

Result<Offer> understand(const Peer& peer, const hbone::Headers& head) {
  Result<hbone::Connect> connect = hbone::Connect::parse(head);
  if (!connect) return fail(std::move(connect.error()));
  const Worker& worker = peer.pod.worker;
  if (peer.pod.pod.seats() >= worker.settings.pod_connections)
    return fail(Errc::overloaded, "the pod has as many connections as it may");
  const PodSpec& spec = peer.pod.pod.spec();
  config::WorkloadPtr self = peer.pod.self;
  if (!self)
    return fail(Errc::not_found, fmt::format("failed to fetch information about local workload: {}.{} ({})",
                                             spec.sa, spec.ns, spec.name));
  Result<Admission> admission =
      validate(*worker.snapshot, worker.settings.network, *self, peer.local, connect->authority);
  if (!admission) return fail(std::move(admission.error()));
  std::string preface;
  if (const std::optional<Admission::Told>& told = admission->told)
    preface =
        proxy_header(peer.from, told->target, peer.identity ? peer.identity->uri() : "", told->hostname);
  Offer offer{self, admission->app, std::move(preface),
              hbone::forwarded_host(connect->forwarded.value_or("")).value_or(""),
              flow_of(peer, *worker.snapshot, *connect, self)};
  offer.flow.service = admission->service
                           ? admission->service
                           : meant_service(*worker.snapshot, *self, offer.forwarded_host, offer.app.port);
  return offer;
}

// A new socket takes a header's few hundred bytes at once.
Status say_first(int fd, const std::string& preface) {
  if (preface.empty()) return {};
  ssize_t sent = send(fd, preface.data(), preface.size(), MSG_NOSIGNAL);
  if (sent == static_cast<ssize_t>(preface.size())) return {};
  return fail(sent < 0 ? os_error(Errc::reset, "send the PROXY header", errno)
                       : Error{Errc::reset, "the application took only a part of the PROXY header"});
}

void refuse(Exchange& exchange, Errc why) {
  // The peer may be gone already; then there is nobody to tell.
  (void)exchange.respond({{":status", std::to_string(connect_status(why))}}, true);
}

Status accept(Exchange& exchange, const Worker& worker, const config::Workload& self) {
  hbone::Headers head;
  head.reserve(2);
  head.emplace_back(":status", "200");
  if (worker.settings.response_baggage) head.emplace_back("baggage", baggage_of(self).str());
  return exchange.respond(head, false);
}

// The application's socket, if policy lets this peer have it; then the tunnel is accepted. What was offered
// goes when this is over: a tunnel that lives long does not keep it, nor, because this is not inlined, the
// room for this frame.
[[gnu::noinline]] Task<Result<Fd>> reach(Peer* peer, Exchange* exchange, std::unique_ptr<Offer> offer,
                                         Live& live) {
  Scope& scope = live.scope;
  Status allowed = judge(peer->pod.worker, *offer->self, live.peer());
  Result<Fd> fd = fail(allowed ? Error{Errc::closed, {}} : allowed.error());
  // Whom a PROXY header tells who calls needs no address made up for it.
  bool on_loopback = !offer->preface.empty() && peer->pod.worker.settings.localhost_app_tunnel;
  if (allowed && on_loopback) {
    fd = co_await dial(peer->pod, {Ip::loopback(offer->app.ip.v6), offer->app.port}, {}, scope);
  } else if (allowed) {
    fd = co_await dial(peer->pod, offer->app, peer->from.ip, scope);
  }
  if (!fd) {
    refuse(*exchange, fd.error().code);
    co_return fail(scope.explain(std::move(fd.error())));
  }
  Status accepted = accept(*exchange, peer->pod.worker, *offer->self);
  if (!accepted) co_return fail(std::move(accepted.error()));
  Status prefaced = say_first(fd->get(), offer->preface);
  if (!prefaced) co_return fail(std::move(prefaced.error()));
  co_return fd;
}

// Null when it is refused, and that is said and logged.
[[gnu::noinline]] std::unique_ptr<Offer> admit(const Peer& peer, Exchange& exchange) {
  Result<Offer> offer = understand(peer, exchange.head());
  if (offer) return std::make_unique<Offer>(std::move(*offer));
  refuse(exchange, offer.error().code);
  report_refused(peer.pod, Direction::inbound, peer.from, peer.local, offer.error(), peer.identity);
  return nullptr;
}

Task<void> serve_tunnel(Peer* peer, std::unique_ptr<Exchange> exchange) {
  Worker& worker = peer->pod.worker;
  Story story(worker);
  std::unique_ptr<Offer> offer = admit(*peer, *exchange);
  if (!offer) co_return;
  Scope scope;
  Report report(worker.telemetry, std::move(offer->flow));
  Live live(worker, peer->pod, scope, report, &peer->identity);
  live.target = offer->app;
  live.forwarded_host = offer->forwarded_host;
  scope.add(*exchange);
  Fd fd;
  {
    Result<Fd> reached = co_await reach(peer, exchange.get(), std::move(offer), live);
    if (!reached) {
      report.fail(reached.error());
      co_return;
    }
    fd = std::move(*reached);
  }
  TcpStream app(std::move(fd));
  scope.add(app);
  Pumps pumps = hbone::splice(app, *exchange, report.bytes.b_to_a, report.bytes.a_to_b);
  while (!pumps.ended()) co_await pumps;
  live.end(pumps.status());
}

Task<void> serve_session(PodWorker& pod, TlsStream& tls, const Identity& self, SockAddr from,
                         SockAddr local) {
  Worker& worker = pod.worker;
  Peer peer{pod, from, local, peer_check(tls.ssl()).identity};
  hbone::Session session(hbone::Session::Role::server, tls, worker.settings.server,
                         [&peer](std::unique_ptr<Exchange> exchange) {
                           Loop& loop = peer.pod.worker.loop;
                           loop.spawn({"tunnel from", peer.from}, serve_tunnel(&peer, std::move(exchange)));
                         });
  Pod::Seat seat(pod.pod);
  Incoming incoming{{}, pod, session, self, peer_check(tls.ssl()).root, tls.ssl()};
  worker.incoming.push_back(incoming);
  if (worker.draining) session.drain();
  if (!check_revoked(tls.ssl())) session.close(Errc::revoked);  // since the handshake
  Status ended = co_await session.run();
  if (!ended)
    log::debug("inbound", "HBONE connection ended", {{"peer", from.str()}, {"error", ended.error().detail}},
               subject_of(pod));
}

}  // namespace

Task<void> serve_peer(PodWorker* pod, Fd fd) {
  Story story(pod->worker);
  Loaded loaded(pod->worker);
  Telemetry::Socket socket = pod->worker.telemetry.accepted(Direction::inbound);
  std::optional<SockAddr> from = peer_address(fd.get()), local = local_address(fd.get());
  if (!from || !local) co_return;
  Identity self;
  Result<std::unique_ptr<TlsStream>> tls = co_await secure(*pod, std::move(fd), self);
  if (!tls) {
    if (tls.error().code == Errc::revoked) pod->worker.telemetry.revoked(Direction::inbound);
    report_refused(*pod, Direction::inbound, *from, *local, tls.error());
    co_return;
  }
  co_await serve_session(*pod, **tls, self, *from, *local);
}

}  // namespace ambientd::l4
