// SPDX-License-Identifier: Apache-2.0
// What the stories of one worker thread share. It is touched on its loop's thread only.
#pragma once

#include <functional>
#include <random>
#include <string>
#include <string_view>
#include <unordered_map>

#include "l7/http1_server.h"
#include "l7/http2_server.h"
#include "l7/plan.h"
#include "l7/telemetry.h"
#include "l7/token_cache.h"
#include "l7/upstream.h"
#include "l7/view.h"

namespace ambientd::l7 {

// A request that can be judged only when the keys of its token's issuer are there. It is woken when the view
// has other keys, and when its client is gone.
struct KeysWaiter final : Closable, Listed<KeysWaiter> {
  void close(Errc) override { over.set(); }
  Event over{"keys of a token's issuer"};
};

struct Worker {
  // `number`: of this worker in the metrics registry. All outlive it.
  Worker(Connector& connector, MetricFamilies& families, size_t number, const UpstreamLimits& limits = {})
      : upstreams(connector, limits), telemetry(families, number), random(std::random_device{}()) {}
  Worker(const Worker&) = delete;

  Dice roll() { return {random(), random(), random()}; }
  size_t load_of(const config::Workload& endpoint) const {
    auto at = load.find(endpoint.uid);
    return at == load.end() ? 0 : at->second;
  }

  ViewPtr view;  // null until the first configuration
  Upstreams upstreams;
  Telemetry telemetry;
  std::mt19937_64 random;
  std::unordered_map<std::string, size_t> load;           // requests in flight by endpoint uid
  std::function<void(std::string_view line)> access_log;  // empty: none is kept
  TokenCache tokens;
  List<KeysWaiter> waiting_for_keys;
  std::function<void(const std::string& source)> keys_missed;  // asks for an early fetch
  Http1Limits http1;
  List<Http1Server> http1_servers;
  List<Http2Server> http2_servers;
  bool draining = false;
};

// Counts an endpoint as busy while it lives.
class Busy {
 public:
  Busy(Worker& worker, const config::WorkloadPtr& endpoint) : worker_(worker) {
    if (endpoint) uid_ = endpoint->uid;
    if (endpoint) ++worker_.load[uid_];
  }
  ~Busy() {
    auto at = worker_.load.find(uid_);
    if (at != worker_.load.end() && --at->second == 0) worker_.load.erase(at);
  }
  Busy(const Busy&) = delete;

 private:
  Worker& worker_;
  std::string uid_;
};

}  // namespace ambientd::l7
