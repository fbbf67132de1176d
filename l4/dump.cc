// SPDX-License-Identifier: Apache-2.0
#include "l4/dump.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/text.h"
#include "l4/baggage.h"
#include "l4/dump_mesh.h"
#include "l4/ports.h"
#include "l4/worker.h"

namespace ambientd::l4 {
namespace {

using nlohmann::json;

std::string rfc3339(TimePoint at) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::chrono::system_clock::to_time_t(at)));
}

json certificate(const CertificateText& text) {
  return {{"pem", base64(text.pem)},
          {"serialNumber", text.serial},
          {"validFrom", rfc3339(text.not_before)},
          {"expirationTime", rfc3339(text.not_after)}};
}

json certificate(const Certificates::Listed& entry) {
  json chain = json::array(), roots = json::array();
  if (entry.certificate) {
    for (const CertificateText& each : entry.certificate->chain) chain.push_back(certificate(each));
    for (const CertificateText& each : entry.certificate->roots) roots.push_back(certificate(each));
  }
  return {
      {"identity", entry.identity.uri()}, {"state", entry.state}, {"certChain", chain}, {"rootCerts", roots}};
}

json connection(const ConnectionView& view) {
  json out{{"src", view.from.str()}, {"protocol", view.hbone ? "HBONE" : "TCP"}};
  if (view.direction == Direction::outbound) {
    out["originalDst"] = view.target.str();
    out["actualDst"] = view.next.str();
  } else {
    out["originalDst"] = view.forwarded_host.empty() ? json() : json(view.forwarded_host);
    out["actualDst"] = view.target.str();
  }
  return out;
}

json pod(const PodView& view) {
  json inbound = json::array(), outbound = json::array();
  for (const ConnectionView& each : view.connections)
    (each.direction == Direction::inbound ? inbound : outbound).push_back(connection(each));
  return {
      {"state", view.uid.empty() ? "Pending" : "Up"},
      {"connections", {{"inbound", inbound}, {"outbound", outbound}}},
      {"info", {{"name", view.spec.name}, {"namespace", view.spec.ns}, {"serviceAccount", view.spec.sa}}}};
}

json seconds(std::chrono::milliseconds value) {
  auto whole = std::chrono::duration_cast<std::chrono::seconds>(value);
  return {{"secs", whole.count()}, {"nanos", std::chrono::nanoseconds(value - whole).count()}};
}

json settings_of(const Settings& settings) {
  auto at = [&settings](uint16_t port) { return SockAddr{Ip::any(settings.ipv6), port}.str(); };
  const Keepalive& keepalive = settings.keepalive;
  return {{"proxy", true},
          {"network", settings.network},
          {"packetMark", settings.mark == 0 ? json() : json(settings.mark)},
          {"ipv6Enabled", settings.ipv6},
          {"proxyMode", settings.pods.size() == 1 && settings.pods[0].netns.empty() ? "Dedicated" : "Shared"},
          {"outboundAddr", at(kOutboundPort)},
          {"inboundPlaintextAddr", at(kPlaintextPort)},
          {"inboundAddr", at(kHbonePort)},
          {"illegalPorts", {kOutboundPort, kPlaintextPort, kHbonePort}},
          {"windowSize", settings.pool.session.stream_window_max},
          {"connectionWindowSize", settings.pool.session.connection_window},
          {"frameSize", settings.pool.session.max_frame_size},
          {"poolMaxStreamsPerConn", settings.pool.max_streams},
          {"poolUnusedReleaseTimeout", seconds(std::chrono::milliseconds(settings.pool.release_ms))},
          {"requireOriginalSource", settings.original_source == OriginalSource::best_effort
                                        ? json()
                                        : json(settings.original_source == OriginalSource::require)},
          {"enableEnhancedBaggage", settings.response_baggage},
          {"socketConfig",
           {{"keepaliveEnabled", keepalive.enabled},
            {"keepaliveTime", seconds(keepalive.time)},
            {"keepaliveInterval", seconds(keepalive.interval)},
            {"keepaliveRetries", keepalive.retries},
            {"userTimeoutEnabled", keepalive.user_timeout}}}};
}

}  // namespace

void collect(Worker& worker, std::vector<PodView>& out) {
  for (size_t i = 0; i < worker.pods.size(); ++i) {
    out[i].spec = worker.pods[i]->pod.spec();
    if (worker.pods[i]->self) out[i].uid = worker.pods[i]->self->uid;
  }
  worker.live.each([&](Live& live) {
    size_t place = 0;
    while (worker.pods[place].get() != &live.pod) ++place;
    const Flow& flow = live.report.flow();
    out[place].connections.push_back(
        {flow.direction, flow.from, live.target, flow.to, live.forwarded_host, !flow.authority.empty()});
  });
}

std::string config_dump(const config::Snapshot* snapshot,
                        const std::vector<Certificates::Listed>& certificates,
                        const std::vector<PodView>& pods, const Settings& settings) {
  json out{
      {"certificates", json::array()}, {"stagedServices", json::object()}, {"config", settings_of(settings)}};
  for (const Certificates::Listed& each : certificates) out["certificates"].push_back(certificate(each));
  for (const PodView& each : pods)
    out["workloadState"][each.uid.empty() ? each.spec.key() : each.uid] = pod(each);
  out["workloads"] = out["services"] = out["policies"] = json::array();
  if (snapshot) add_mesh(*snapshot, out);
  out["staticConfig"] = {
      {"workloads", json::array()}, {"services", json::array()}, {"policies", json::array()}};
  out["version"] = {{"version", "ambientd"}};
  return out.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace ambientd::l4
