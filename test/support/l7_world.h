// SPDX-License-Identifier: Apache-2.0
// A small mesh behind a waypoint, an upstream that is a story over a socket pair, and a client's end of a
// tunnel: what the tests of l7 run on.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/metrics.h"
#include "l7/serve_tunnel.h"
#include "l7/worker.h"
#include "test/support/stream_pair.h"

namespace ambientd::test {

// Answers every dial with a stream whose other end `serve` works on.
class FakeConnector final : public l7::Connector {
 public:
  using Serve = std::function<Task<void>(std::unique_ptr<TcpStream> stream)>;
  Task<Result<std::unique_ptr<Stream>>> connect(l7::Destination to, Scope& scope) override;

  std::vector<l7::Destination> dialled;
  std::optional<Error> refuse;          // every dial fails with this
  std::vector<std::string> refused_at;  // addresses that nobody listens at
  Event* until = nullptr;               // no dial ends before this
  Serve serve;                          // each connection's upstream
};

// Services at 10.96.0.10 (`reviews`: 9080 unnamed, 80 http1, 81 http2, 82 grpc, 90 tcp, 53 udp) and
// 10.96.0.11 (`reviews-v2`: 9080), both used through the waypoint `default/waypoint` (10.1.0.2, service
// 10.96.0.2); pods 10.1.0.10 and 10.1.0.11 behind them on 8080, HBONE; a pod 10.1.0.20 bound directly, and
// one at 10.1.0.30 that is not.
config::Mesh small_mesh();

l7::ViewPtr view_of(config::Mesh mesh);

// A worker, and tunnels into it.
struct World {
  explicit World(config::Mesh mesh = small_mesh());

  // A tunnel to `authority` by `sa`'s pod; its story runs until the stream ends.
  std::unique_ptr<TcpStream> open(std::string_view authority, std::string_view sa = "productpage");

  FakeConnector connector;
  metrics::Registry registry{1};
  l7::MetricFamilies families{registry};
  l7::Worker worker{connector, families, 0};
  std::vector<std::string> lines;  // of the access log
  size_t tunnels = 0;              // open
  Event idle{"the last tunnel"};   // set when one ended and none is open
};

}  // namespace ambientd::test
