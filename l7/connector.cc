// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "core/deadline.h"
#include "core/tcp_stream.h"
#include "hbone/tunnel.h"
#include "l7/upstream.h"

namespace ambientd::l7 {
namespace {

constexpr uint64_t kAnswerMs = 5'000;  // for the CONNECT's answer, beyond the dial's own time

}  // namespace

MeshConnector::MeshConnector(hbone::Pool& pool, hbone::Dialer& dialer, Identity self,
                             const UpstreamLimits& limits)
    : pool_(pool), dialer_(dialer), self_(std::move(self)), limits_(limits) {}

Task<Result<std::unique_ptr<Stream>>> MeshConnector::connect(Destination to, Scope& scope) {
  if (to.identity) co_return co_await tunnel(std::move(to), scope);
  co_return co_await plain(std::move(to), scope);
}

Task<Result<std::unique_ptr<Stream>>> MeshConnector::tunnel(Destination to, Scope& scope) {
  InnerScope inner(scope);
  Deadline deadline(inner.scope, limits_.connect_ms + kAnswerMs,
                    {Errc::hbone_timed_out, fmt::format("no answer to CONNECT {}", to.address.str())});
  hbone::PoolKey key{
      .source = self_, .peers = {*to.identity}, .to = {to.address.ip, limits_.hbone_port}, .source_ip = {}};
  hbone::Connect request{.authority = to.address.str()};
  Result<std::unique_ptr<hbone::Exchange>> opened =
      co_await hbone::open_tunnel(pool_, key, dialer_, request, inner.scope);
  if (!opened) co_return fail(scope.explain(std::move(opened.error())));
  (*opened)->Closable::unlink();
  co_return std::move(*opened);
}

Task<Result<std::unique_ptr<Stream>>> MeshConnector::plain(Destination to, Scope& scope) {
  InnerScope inner(scope);
  Deadline deadline(inner.scope, limits_.connect_ms,
                    {Errc::timed_out, fmt::format("connect {}: timed out", to.address.str())});
  Result<Fd> socket = dialer_.socket(to.address.ip.v6);
  if (!socket) co_return fail(std::move(socket.error()));
  Result<Fd> connected = co_await ambientd::connect(std::move(*socket), to.address, inner.scope);
  if (!connected) co_return fail(scope.explain(std::move(connected.error())));
  co_return std::make_unique<TcpStream>(std::move(*connected));
}

}  // namespace ambientd::l7
