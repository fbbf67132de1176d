// SPDX-License-Identifier: Apache-2.0
#include "hbone/tunnel.h"

namespace ambientd::hbone {

Task<Result<std::unique_ptr<Exchange>>> open_tunnel(Pool& pool, PoolKey key, Dialer& dialer,
                                                    const Connect& connect, Scope& scope, int* refused) {
  if (refused) *refused = 0;
  Headers request = connect.headers();
  Result<std::unique_ptr<Exchange>> exchange =
      co_await pool.open(std::move(key), dialer, std::move(request), scope);
  if (!exchange) co_return fail(std::move(exchange.error()));
  scope.add(**exchange);
  int status = 0;
  while (status < 200) {
    Status answered = co_await (*exchange)->headers();
    if (!answered) co_return fail(scope.explain(std::move(answered.error())));
    status = status_of((*exchange)->head());
    if (status == 0) co_return fail(Errc::http2, "the peer answered CONNECT without a status");
  }
  if (status == 200) co_return std::move(exchange);
  if (refused) *refused = status;
  co_return fail(Errc::http_status, "http status: " + status_text(status));
}

}  // namespace ambientd::hbone
