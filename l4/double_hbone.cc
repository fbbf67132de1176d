// SPDX-License-Identifier: Apache-2.0
#include "l4/double_hbone.h"

#include <fmt/format.h>
#include <openssl/ssl.h>

#include "core/tls.h"
#include "core/tls_over.h"
#include "hbone/tunnel.h"
#include "l4/baggage.h"
#include "l4/worker.h"

namespace ambientd::l4 {
namespace {

// The tunnel is many calls' tunnel: it names the pod and the service, no call's port.
hbone::Connect carrying(const PodWorker& pod, const hbone::PoolKey& key) {
  std::string from = key.source_ip.v6 ? "[" + key.source_ip.str() + "]" : key.source_ip.str();
  std::string_view host = std::string_view(key.authority).substr(0, key.authority.rfind(':'));
  return {.authority = key.authority,
          .baggage = pod.self ? std::optional(baggage_of(*pod.self).str()) : std::nullopt,
          .forwarded = fmt::format("for=\"{}\";host={}", from, host),
          .traceparent = hbone::new_traceparent(),
          .forwarded_network = {}};
}

}  // namespace

Result<Fd> DoubleDialer::socket(bool v6) { return pod_.socket(v6); }

Task<Result<WorkloadCertificatePtr>> DoubleDialer::certificate(Identity identity, Scope& scope) {
  return pod_.certificate(std::move(identity), scope);
}

Task<Result<hbone::Transport>> DoubleDialer::dial(hbone::PoolKey key, Scope& scope) {
  hbone::PoolKey outer{key.source, key.carriers, key.to, key.source_ip};
  hbone::Connect request = carrying(pod_, key);
  int refused = 0;
  Result<std::unique_ptr<hbone::Exchange>> tunnel =
      co_await hbone::open_tunnel(pod_.pool, outer, pod_, request, scope, &refused);
  if (!tunnel && refused == 503)
    co_return fail(Errc::connect_failed,
                   fmt::format("network gateway {}: {}", key.to.str(), tunnel.error().detail));
  if (!tunnel) co_return fail(std::move(tunnel.error()));
  Result<WorkloadCertificatePtr> current = co_await certificate(key.source, scope);
  if (!current) co_return fail(std::move(current.error()));
  SslPtr ssl(SSL_new((*current)->client.get()));
  SSL_set_connect_state(ssl.get());
  expect_peers(ssl.get(), std::move(key.peers));
  std::unique_ptr<Stream> carrier = std::move(*tunnel);
  Result<std::unique_ptr<TlsOver>> tls =
      co_await TlsOver::handshake(std::move(carrier), std::move(ssl), scope);
  if (!tls) co_return fail(std::move(tls.error()));
  const SSL* known = (*tls)->ssl();
  co_return hbone::Transport{std::move(*tls), known};
}

}  // namespace ambientd::l4
