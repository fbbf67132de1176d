// SPDX-License-Identifier: Apache-2.0
#include "l7/serve_tunnel.h"

#include "core/log.h"
#include "hbone/connect.h"
#include "l7/proxy.h"
#include "l7/sniff.h"
#include "l7/tcp_proxy.h"

namespace ambientd::l7 {
namespace {

using config::AppProtocol;

void log_refusal(const hbone::Headers& head, const Peer& peer, int status, const Error& why, Worker& worker) {
  if (!worker.access_log) return;
  RequestLog line;
  line.start = std::chrono::system_clock::now();
  line.protocol = Protocol::http2;
  line.method = hbone::find(head, ":method").value_or("");
  line.authority = hbone::find(head, ":authority").value_or("");
  line.status = status;
  line.flags = "NR";
  line.details = "route_not_found";
  line.transport_failure = why.detail;
  line.downstream_remote = peer.address;
  worker.access_log(text_line(line));
}

void refuse(hbone::Exchange& exchange, const Peer& peer, const Error& why, Worker& worker) {
  bool garbled = why.code == Errc::bad_request && hbone::find(exchange.head(), ":method") == "CONNECT";
  int status = garbled ? 400 : 404;
  log_refusal(exchange.head(), peer, status, why, worker);
  Status sent = exchange.respond({{":status", std::to_string(status)}}, true);
  if (!sent)
    log::debug("waypoint", "refused CONNECT could not be answered", {{"error", sent.error().detail}});
}

Task<void> serve_http1(Stream& stream, Tunnel tunnel, Worker& worker) {
  Proxy proxy(worker, std::move(tunnel));
  Http1Server server(stream, proxy, worker.http1);
  worker.http1_servers.push_back(server);
  co_await server.serve();
}

Task<void> serve_http2(Stream& stream, Tunnel tunnel, Worker& worker) {
  Proxy proxy(worker, std::move(tunnel));
  Http2Server server(stream, proxy);
  worker.http2_servers.push_back(server);
  Status ended = co_await server.serve();
  if (!ended) log::debug("waypoint", "HTTP/2 connection ended", {{"error", ended.error().detail}});
}

bool is_tcp(AppProtocol protocol) {
  return protocol == AppProtocol::tcp || protocol == AppProtocol::tls || protocol == AppProtocol::udp;
}

}  // namespace

Result<Tunnel> tunnel_of(const hbone::Headers& head, const Peer& peer, Worker& worker) {
  Result<hbone::Connect> connect = hbone::Connect::parse(head);
  if (!connect) return fail(std::move(connect.error()));
  const ViewPtr& view = worker.view;
  if (!view || !view->self)
    return fail(Errc::not_found, "this waypoint does not know its services yet (is its pod configured?)");
  Result<Target> target = dispatch(*view->snapshot, *view->self, connect->authority);
  if (!target) return fail(std::move(target.error()));
  Tunnel tunnel;
  tunnel.target = std::move(*target);
  tunnel.peer = peer.address;
  config::WorkloadPtr client = view->snapshot->workload_by_ip(view->self->workload->network, peer.address.ip);
  tunnel.caller = worker.telemetry.caller(peer.identity, client, connect->baggage.value_or(""));
  return tunnel;
}

Task<void> serve_tunnel(std::unique_ptr<hbone::Exchange> exchange, Peer peer, Worker& worker) {
  Result<Tunnel> tunnel = tunnel_of(exchange->head(), peer, worker);
  if (!tunnel) {
    refuse(*exchange, peer, tunnel.error(), worker);
    co_return;
  }
  Status accepted = exchange->respond({{":status", "200"}}, false);
  if (accepted) co_await serve_stream(*exchange, std::move(*tunnel), worker);
}

Task<void> serve_stream(Stream& stream, Tunnel tunnel, Worker& worker) {
  AppProtocol declared = tunnel.target.protocol;
  if (is_tcp(declared)) {
    co_await proxy_tcp(worker, std::move(tunnel), stream);
    co_return;
  }
  Peeked peeked(stream);
  Result<Sniffed> found = co_await peeked.detect();
  if (!found) co_return;
  if (*found == Sniffed::http2) {
    co_await serve_http2(peeked, std::move(tunnel), worker);
  } else if (*found == Sniffed::http1 || declared != AppProtocol::sniff) {
    co_await serve_http1(peeked, std::move(tunnel), worker);  // which refuses what is no HTTP
  } else {
    co_await proxy_tcp(worker, std::move(tunnel), peeked);
  }
}

}  // namespace ambientd::l7
