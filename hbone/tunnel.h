// SPDX-License-Identifier: Apache-2.0
// A tunnel: an Exchange whose CONNECT was answered with 200. From then on it is a Stream of the application's
// bytes, and nothing of it was sent before the 200 (contract/threats.md §5.2, CVE-2025-64763).
#pragma once

#include "hbone/connect.h"
#include "hbone/pool.h"

namespace ambientd::hbone {

// Opens a tunnel through the pool and waits for its 200; `write` is called when the CONNECT is sent. Errors:
// those of Pool::Place; http_status with `http status: 401 Unauthorized` when the peer refused; reset,
// refused_stream, http2; or what closes `scope`. *refused, where given, receives the refusing status, else 0.
Task<Result<std::unique_ptr<Exchange>>> open_tunnel(Pool& pool, const PoolKey& key, Dialer& dialer,
                                                    WriteHeaders write, Scope& scope, int* refused = nullptr);
// The same; `connect` outlives the await.
Task<Result<std::unique_ptr<Exchange>>> open_tunnel(Pool& pool, const PoolKey& key, Dialer& dialer,
                                                    const Connect& connect, Scope& scope,
                                                    int* refused = nullptr);

}  // namespace ambientd::hbone
