// SPDX-License-Identifier: Apache-2.0
// The environment variables of contract/ztunnel.md §1.3 that have a meaning here.
#include <fmt/format.h>

#include <limits>
#include <thread>

#include "core/duration.h"
#include "core/flags.h"
#include "core/text.h"

namespace ambientd {
namespace {

// Reads variables into fields and remembers the first that is wrong. An unset variable leaves its field
// alone.
class Reader {
 public:
  explicit Reader(const Environment& environment) : environment_(environment) {}

  Status status() const { return status_; }
  std::optional<std::string> get(const std::string& name) const { return environment_(name); }

  // `parse` turns the text into a Result; its error is the reason.
  template <class Field, class Parse>
  void read(const std::string& name, Field& field, Parse parse) {
    std::optional<std::string> text = get(name);
    if (!text) return;
    auto value = parse(*text);
    if (value) {
      field = std::move(*value);
    } else {
      refuse(name, *text, value.error().detail);
    }
  }

  void text(const std::string& name, std::string& field) {
    if (std::optional<std::string> value = get(name); value && !value->empty()) field = std::move(*value);
  }

  template <class Field>
  void flag(const std::string& name, Field& field) {
    read(name, field, [](const std::string& value) -> Result<bool> {
      if (value == "true") return true;
      if (value == "false") return false;
      return fail(Errc::invalid, "want true or false");
    });
  }

  template <class Field>
  void number(const std::string& name, Field& field, uint64_t least = 0,
              uint64_t most = std::numeric_limits<Field>::max()) {
    read(name, field, [=](const std::string& value) -> Result<Field> {
      std::optional<uint64_t> n = parse_uint(value);
      if (n && *n >= least && *n <= most) return static_cast<Field>(*n);
      return fail(Errc::invalid, fmt::format("want a number from {} to {}", least, most));
    });
  }

  void seconds(const std::string& name, std::chrono::seconds& field) {
    read(name, field, [](const std::string& value) -> Result<std::chrono::seconds> {
      Result<std::chrono::nanoseconds> duration = parse_duration(value);
      if (!duration) return std::unexpected(duration.error());
      if (*duration < std::chrono::seconds(1)) return fail(Errc::invalid, "want one second or more");
      return std::chrono::duration_cast<std::chrono::seconds>(*duration);
    });
  }

  void refuse(const std::string& name, std::string_view value, std::string_view reason) {
    if (status_)
      status_ = fail(Errc::invalid, fmt::format("invalid env var {}={} ({})", name, value, reason));
  }

 private:
  const Environment& environment_;
  Status status_;
};

void read_place(Reader& env, Options& options) {
  env.text("NETWORK", options.network);
  env.text("NODE_NAME", options.node);
  env.text("CLUSTER_ID", options.cluster_id);
  env.text("ISTIO_META_CLUSTER_ID", options.cluster_id);  // wins
  env.text("CLUSTER_DOMAIN", options.cluster_domain);
  env.read("MISSING_WAYPOINT", options.missing_waypoint, parse_missing_waypoint);
  env.text("TRUST_DOMAIN", options.trust_domain);
  env.text("POD_NAME", options.pod_name);
  env.text("POD_NAMESPACE", options.pod_namespace);
  env.text("SERVICE_ACCOUNT", options.service_account);
  env.text("ISTIO_META_ISTIO_VERSION", options.istio_version);
}

void read_role(Reader& env, Options& options) {
  env.read("PROXY_MODE", options.dedicated, [](const std::string& value) -> Result<bool> {
    if (value == "dedicated" || value == "shared") return value == "dedicated";
    return fail(Errc::invalid, "want shared or dedicated");
  });
  env.read("PROXY_WORKLOAD_INFO", options.workload, parse_workload_name);
  size_t cpus = std::max(1u, std::thread::hardware_concurrency());
  options.workers = std::max<size_t>(2, (cpus + 3) / 4);
  env.read("ZTUNNEL_WORKER_THREADS", options.workers,
           [cpus](const std::string& value) { return parse_workers(value, cpus); });
}

void read_sources(Reader& env, Options& options) {
  env.read("RUST_LOG", options.log_filter, log::Filter::parse);
  if (env.get("LOG_FORMAT") == "json") options.log_json = true;
  std::string& path = options.local_xds_path;
  env.text("LOCAL_XDS_PATH", path);
  env.text("LOCAL_XDS", options.local_xds);
  if (!path.empty() && !options.local_xds.empty())
    env.refuse("LOCAL_XDS_PATH", path, "LOCAL_XDS is set as well: give one of the two");
  if (!path.empty()) options.config.push_back(path);
}

void read_network(Reader& env, Options& options) {
  constexpr uint32_t kMaxWindow = 0x7fffffff;  // RFC 9113 §6.9.1
  env.flag("ENABLE_ORIG_SRC", options.original_source);
  env.number("PACKET_MARK", options.packet_mark, 1);
  env.flag("IPV6_ENABLED", options.ipv6);
  env.flag("ENABLE_RESPONSE_BAGGAGE", options.response_baggage);
  env.flag("LOCALHOST_APP_TUNNEL", options.localhost_app_tunnel);
  env.number("POOL_MAX_STREAMS_PER_CONNECTION", options.pool_max_streams, 1);
  env.seconds("POOL_UNUSED_RELEASE_TIMEOUT", options.pool_release);
  env.number("HTTP2_STREAM_WINDOW_SIZE", options.http2.stream_window, 65535, kMaxWindow);
  env.number("HTTP2_CONNECTION_WINDOW_SIZE", options.http2.connection_window, 65535, kMaxWindow);
  env.number("HTTP2_FRAME_SIZE", options.http2.frame_size, 16384, 16777215);  // RFC 9113 §4.2
  env.flag("KEEPALIVE_ENABLED", options.keepalive.enabled);
  env.seconds("KEEPALIVE_TIME", options.keepalive.time);
  env.seconds("KEEPALIVE_INTERVAL", options.keepalive.interval);
  env.number("KEEPALIVE_RETRIES", options.keepalive.retries, 1, 127);  // the kernel's MAX_TCP_KEEPCNT
  env.flag("USER_TIMEOUT_ENABLED", options.keepalive.user_timeout);
  // Ours: a host that paces what it sends (BBR) would pace between an application and us as well.
  env.text("APP_CONGESTION_CONTROL", options.app_congestion_control);
}

void read_security(Reader& env, Options& options) {
  env.text("CRL_PATH", options.crl_path);
  env.flag("TLS12_ENABLED", options.tls12);
  env.flag("AUTHZ_POLICY_INFO_LOGGING", options.log_authorization);
  env.read("COMPLIANCE_POLICY", options.post_quantum, [](const std::string& value) -> Result<bool> {
    if (value.empty() || value == "pqc") return value == "pqc";
    return fail(Errc::invalid, "want pqc, or nothing");
  });
}

// The deadline of a drain leaves the kubelet some time to notice: its grace period less a margin.
void read_deadlines(Reader& env, Options& options) {
  env.seconds("SECRET_TTL", options.secret_ttl);
  uint32_t grace = 0;
  env.number("TERMINATION_GRACE_PERIOD_SECONDS", grace);
  if (grace > 0)
    options.termination_deadline = std::chrono::seconds(std::max(1u, grace > 10 ? grace - 5 : grace - 1));
  env.seconds("CONNECTION_TERMINATION_DEADLINE", options.termination_deadline);
}

}  // namespace

Status read_environment(const Environment& environment, Options& options) {
  Reader env(environment);
  read_place(env, options);
  read_role(env, options);
  read_sources(env, options);
  read_network(env, options);
  read_security(env, options);
  read_deadlines(env, options);
  return env.status();
}

}  // namespace ambientd
