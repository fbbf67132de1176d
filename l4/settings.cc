// SPDX-License-Identifier: Apache-2.0
#include "l4/settings.h"

#include <sys/resource.h>

#include <algorithm>

namespace ambientd::l4 {
namespace {

void set_windows(const Http2Options& from, hbone::Limits& limits) {
  limits.stream_window_max = from.stream_window;
  limits.connection_window = from.connection_window;
  limits.queued_per_connection = std::max<size_t>(limits.queued_per_connection, from.connection_window);
  limits.max_frame_size = from.frame_size;
}

}  // namespace

size_t pod_connections(size_t descriptors, size_t pods) {
  size_t pairs = (descriptors - std::min<size_t>(descriptors / 4, 1000)) / 2;
  if (pods <= 1) return std::max<size_t>(pairs, 16);
  return std::clamp<size_t>(4 * pairs / pods, 16, std::max<size_t>(pairs / 2, 16));
}

Settings settings_from(const Options& options) {
  Settings s;
  for (const PodName& pod : options.pods) {
    s.pods.push_back({pod.workload.ns, pod.workload.name, pod.workload.sa, pod.netns});
  }
  const std::optional<WorkloadName>& own = options.workload;
  if (s.pods.empty() && own) s.pods.push_back({own->ns, own->name, own->sa, ""});
  s.network = options.network;
  s.missing_waypoint = options.missing_waypoint;
  s.mark = options.packet_mark;
  s.ipv6 = options.ipv6;
  if (options.original_source) {
    s.original_source = *options.original_source ? OriginalSource::require : OriginalSource::never;
  }
  s.log_authorization = options.log_authorization;
  s.response_baggage = options.response_baggage;
  s.localhost_app_tunnel = options.localhost_app_tunnel;
  s.keepalive = options.keepalive;
  if (options.app_congestion_control != "host") s.app_congestion_control = options.app_congestion_control;
  s.pool.max_streams = options.pool_max_streams;
  s.pool.release_ms = static_cast<uint64_t>(std::chrono::milliseconds(options.pool_release).count());
  set_windows(options.http2, s.pool.session);
  set_windows(options.http2, s.server);
  rlimit descriptors{};
  if (getrlimit(RLIMIT_NOFILE, &descriptors) == 0)
    s.pod_connections = pod_connections(descriptors.rlim_cur, s.pods.size());
  return s;
}

}  // namespace ambientd::l4
