// SPDX-License-Identifier: Apache-2.0
#include "core/admin_ports.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>

#include "core/logging_page.h"
#include "core/metrics_port.h"
#include "core/text.h"

namespace ambientd {
namespace {

constexpr const char* kDashboard = R"(<!doctype html>
<html lang="en"><head><title>ambientd</title></head><body>
<h1>ambientd</h1>
<ul>
<li><a href="config_dump">config_dump</a>: the mesh as this proxy sees it, its certificates and connections (JSON)</li>
<li><a href="debug/tasks">debug/tasks</a>: who waits where, for how long</li>
<li><code>debug/why?src=NAMESPACE/POD&amp;dst=HOSTNAME:PORT</code>: why a call goes where it goes (ztunnel)</li>
<li>POST <code>logging</code>: log levels, e.g. <code>curl -X POST 'localhost:15000/logging?level=debug'</code></li>
<li>POST <code>quitquitquit</code>: drain and end</li>
</ul>
<p>Metrics are on port 15020, readiness is on port 15021. On a shell: <code>ambientd ctl --help</code></p>
</body></html>
)";

constexpr std::string_view kNoProfile =
    "this build takes no profiles of itself: use `perf record -g -p PID`, or heaptrack for memory\n";

AdminResponse no_profile(const AdminRequest&) { return {500, std::string(kNoProfile)}; }

AdminResponse heap_profiling(const AdminRequest& request) {
  std::optional<std::string> wanted = request.parameter("activate");
  if (wanted == "true") return {500, std::string(kNoProfile)};
  return {200, "heap profiling active: false\n"};
}

// A CPU profile's parameters are checked before it is refused, as tools that try them expect.
AdminResponse cpu_profile(const AdminRequest& request) {
  for (auto [name, most] : {std::pair{"seconds", 300u}, {"frequency", 1000u}}) {
    std::optional<std::string> text = request.parameter(name);
    if (!text) continue;
    std::optional<uint64_t> value = parse_uint(*text);
    if (!value || *value < 1 || *value > most)
      return {400, fmt::format("invalid {}: {} (want 1 to {})\n", name, *text, most)};
  }
  return no_profile(request);
}

bool has_ipv6_loopback() {
  std::ifstream file("/proc/sys/net/ipv6/conf/lo/disable_ipv6");
  int disabled = 1;
  return file >> disabled && disabled == 0;
}

bool reads(const AdminRequest& request) { return request.method == "GET" || request.method == "HEAD"; }

}  // namespace

AdminPorts::AdminPorts(Mode mode, const metrics::Registry& registry, log::Filter at_start, Sources sources)
    : mode_(mode), registry_(registry), at_start_(std::move(at_start)), sources_(std::move(sources)) {
  route_admin();
  route_metrics();
  readiness_.route("/healthz/ready", [this](const AdminRequest& request) { return ready(request); });
}

void AdminPorts::route_admin() {
  admin_.route(
      "/", [](const AdminRequest&) { return AdminResponse{200, kDashboard, "text/html; charset=utf-8"}; });
  admin_.route("/config_dump", [this](const AdminRequest&) {
    Result<std::string> dump = sources_.config_dump();
    if (!dump) return AdminResponse{500, dump.error().detail + "\n"};
    return AdminResponse{200, std::move(*dump), "application/json"};
  });
  admin_.route("/debug/tasks", [this](const AdminRequest&) { return AdminResponse{200, sources_.tasks()}; });
  if (sources_.why) admin_.route("/debug/why", sources_.why);
  admin_.route("/logging",
               [this](const AdminRequest& request) { return answer_logging(request, at_start_); });
  admin_.route("/quitquitquit", [this](const AdminRequest& request) { return quit(request); });
  admin_.route("/debug/pprof/profile", cpu_profile);
  admin_.route("/debug/pprof/heap", no_profile);
  admin_.route("/debug/pprof/heap/profiling", heap_profiling);
}

void AdminPorts::route_metrics() {
  metrics::Format usual = mode_ == Mode::ztunnel ? metrics::Format::openmetrics : metrics::Format::text;
  for (const char* path : {"/metrics", "/stats/prometheus"}) {
    stats_.route(path, [this, usual](const AdminRequest& request) {
      return metrics::answer(registry_, request, usual);
    });
  }
}

Status AdminPorts::listen(const Ports& ports, bool ipv6) {
  Status admin = admin_.listen({Ip::loopback(false), ports.admin});
  if (admin && ipv6 && has_ipv6_loopback()) admin = admin_.listen({Ip::loopback(true), ports.admin});
  if (!admin) return admin;
  Status stats = stats_.listen({Ip::any(ipv6), ports.stats});
  if (!stats) return stats;
  return readiness_.listen({Ip::any(ipv6), ports.readiness});
}

Task<void> AdminPorts::stop() {
  co_await admin_.stop();
  co_await stats_.stop();
  co_await readiness_.stop();
}

AdminResponse AdminPorts::ready(const AdminRequest& request) const {
  if (!reads(request)) return {405, "", ""};
  std::vector<std::string> pending = sources_.pending();
  if (pending.empty()) return {200, "ready\n"};
  std::ranges::sort(pending);
  pending.erase(std::ranges::unique(pending).begin(), pending.end());
  std::string names = fmt::format("{}", fmt::join(pending, ", "));
  return {mode_ == Mode::ztunnel ? 500 : 503, "not ready, pending: " + names + "\n"};
}

AdminResponse AdminPorts::quit(const AdminRequest& request) const {
  if (request.method != "POST") return {405, "", ""};
  sources_.quit();
  return {200, "shutdown now\n"};
}

}  // namespace ambientd
