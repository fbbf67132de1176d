// SPDX-License-Identifier: Apache-2.0
// The way to the other end of a captured call, attempt after attempt. Until the peer has said 200 the
// application has seen nothing and sent nothing, so an attempt that fails (TCP, TLS, HTTP/2, GOAWAY, 503) is
// made again at another endpoint, as decide() names it, within Settings::failover_ms in all. What a peer
// refuses for good (400, 401) is final. An attempt that hangs is given up after try_ms, but only where there
// is somebody else to try.
#pragma once

#include <memory>

#include "core/stream.h"
#include "core/tcp_stream.h"
#include "l4/outbound.h"

namespace ambientd::l4 {

// A call as it is reported.
Flow flow_of(const Captured& call);

// The open way, with report.ends() as it turned out to be; the call with its decision is only needed until
// then. When `app` is gone it closes `scope`. Errors: what the last attempt failed with, or what closes
// `scope`.
Task<Result<std::unique_ptr<Stream>>> open_way(PodWorker& pod, std::unique_ptr<Captured> call,
                                               const TcpStream& app, Report& report, Scope& scope);

// Whether an attempt that ended with this may be made again elsewhere. `status`: of a refused CONNECT, else
// 0.
bool may_try_again(Errc code, int status);

Rules rules_of(const Settings& settings);

}  // namespace ambientd::l4
