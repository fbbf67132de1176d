// SPDX-License-Identifier: Apache-2.0
#include "hbone/tunnel.h"

namespace ambientd::hbone {
namespace {

using Opened = Result<std::unique_ptr<Exchange>>;

// False: an interim answer, another one follows. Else `tunnel` is what the answer makes of it.
[[gnu::noinline]] bool is_final(const Status& answered, Opened& tunnel, int* refused) {
  int status = status_of((*tunnel)->head());
  if (answered && status == 200) return true;
  if (answered && status > 0 && status < 200) return false;
  if (!answered) {
    tunnel = fail(answered.error());
  } else if (status == 0) {
    tunnel = fail(Errc::http2, "the peer answered CONNECT without a status");
  } else {
    if (refused) *refused = status;
    tunnel = fail(Errc::http_status, "http status: " + status_text(status));
  }
  return true;
}

// Very many may wait in here at once, for a connection or for an answer.
Task<Opened> open_claimed(Pool::Claim claim, Dialer* dialer, WriteHeaders write, Scope* scope, int* refused) {
  Opened exchange;
  {
    Pool::Place place(std::move(claim), *dialer, *scope);
    while (!place.take(write, exchange)) co_await place;
  }
  if (!exchange) co_return std::move(exchange);
  scope->add(**exchange);
  for (bool interim = true; interim;) {
    Status answered = co_await (*exchange)->headers();
    scope->explain(answered);
    interim = !is_final(answered, exchange, refused);
  }
  co_return std::move(exchange);
}

}  // namespace

// No coroutine: the key is not needed once its connections are found.
Task<Opened> open_tunnel(Pool& pool, const PoolKey& key, Dialer& dialer, WriteHeaders write, Scope& scope,
                         int* refused) {
  if (refused) *refused = 0;
  return open_claimed(pool.claim(key), &dialer, std::move(write), &scope, refused);
}

Task<Opened> open_tunnel(Pool& pool, const PoolKey& key, Dialer& dialer, const Connect& connect, Scope& scope,
                         int* refused) {
  return open_tunnel(pool, key, dialer, [&connect] { return connect.headers(); }, scope, refused);
}

}  // namespace ambientd::hbone
