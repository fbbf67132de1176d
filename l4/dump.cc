// SPDX-License-Identifier: Apache-2.0
#include "l4/dump.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/text.h"
#include "l4/dump_config.h"
#include "l4/dump_mesh.h"
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

}  // namespace

void collect(Worker& worker, std::vector<PodView>& out) {
  for (size_t i = 0; i < worker.pods.size(); ++i) {
    out[i].spec = worker.pods[i]->pod.spec();
    if (worker.pods[i]->self) out[i].uid = worker.pods[i]->self->uid;
  }
  worker.live.each([&](Live& live) {
    size_t place = 0;
    while (worker.pods[place].get() != &live.pod) ++place;
    const Report& report = live.report;
    out[place].connections.push_back({report.ends().direction, report.from(), live.target, report.to(),
                                      live.forwarded_host, !report.authority().empty()});
  });
}

std::string config_dump(const config::Snapshot* snapshot,
                        const std::vector<Certificates::Listed>& certificates,
                        const std::vector<PodView>& pods, const Options& options) {
  json out{{"certificates", json::array()},
           {"config", config_section(options)},
           {"stagedServices", json::object()},
           {"staticConfig", static_section(options)},
           {"version", version_section(options)}};
  for (const Certificates::Listed& each : certificates) out["certificates"].push_back(certificate(each));
  for (const PodView& each : pods)
    out["workloadState"][each.uid.empty() ? each.spec.key() : each.uid] = pod(each);
  out["workloads"] = out["services"] = out["policies"] = json::array();
  if (snapshot) add_mesh(*snapshot, out);
  return out.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace ambientd::l4
