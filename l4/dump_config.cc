// SPDX-License-Identifier: Apache-2.0
#include "l4/dump_config.h"

#include <nlohmann/json.hpp>

#include "config/loader.h"
#include "core/version.h"
#include "l4/dump_mesh.h"
#include "l4/ports.h"

namespace ambientd::l4 {
namespace {

using nlohmann::json;

json seconds(std::chrono::milliseconds value) {
  auto whole = std::chrono::duration_cast<std::chrono::seconds>(value);
  return {{"secs", whole.count()}, {"nanos", std::chrono::nanoseconds(value - whole).count()}};
}

json text_or_null(const std::string& text) { return text.empty() ? json() : json(text); }

json names(const std::optional<WorkloadName>& who) {
  if (!who) return nullptr;
  return {{"namespace", who->ns}, {"name", who->name}, {"serviceAccount", who->sa}};
}

// Who this process is itself: all three come from the downward API, or it is nobody.
std::optional<WorkloadName> own_name(const Options& options) {
  if (options.pod_name.empty() || options.pod_namespace.empty() || options.service_account.empty())
    return std::nullopt;
  return WorkloadName{options.pod_namespace, options.pod_name, options.service_account};
}

json identity_of(const Options& options) {
  std::optional<WorkloadName> own = own_name(options);
  return own ? json(Identity{options.trust_domain, own->ns, own->sa}.uri()) : json();
}

void add_ports(json& out, const Options& options) {
  auto at = [&options](uint16_t port) { return SockAddr{Ip::any(options.ipv6), port}.str(); };
  out["adminAddr"] = {{"Localhost", {options.ipv6, options.ports.admin}}};
  out["statsAddr"] = {{"SocketAddr", at(options.ports.stats)}};
  out["readinessAddr"] = {{"SocketAddr", at(options.ports.readiness)}};
  out["outboundAddr"] = at(kOutboundPort);
  out["inboundPlaintextAddr"] = at(kPlaintextPort);
  out["inboundAddr"] = at(kHbonePort);
  out["illegalPorts"] = {kOutboundPort, kPlaintextPort, kHbonePort};
  out["packetMark"] = options.packet_mark == 0 ? json() : json(options.packet_mark);
  out["ipv6Enabled"] = options.ipv6;
  out["requireOriginalSource"] = options.original_source ? json(*options.original_source) : json();
}

void add_place(json& out, const Options& options) {
  out["network"] = options.network;
  out["localNode"] = text_or_null(options.node);
  out["clusterId"] = options.cluster_id;
  out["clusterDomain"] = options.cluster_domain;
  out["proxyMode"] = options.pods.empty() ? "Dedicated" : "Shared";
  out["proxyWorkloadInformation"] = names(options.workload);
  out["ztunnelWorkload"] = names(own_name(options));
  out["ztunnelIdentity"] = identity_of(options);
  out["numWorkerThreads"] = options.workers;
}

void add_connections(json& out, const Options& options) {
  const Keepalive& keepalive = options.keepalive;
  out["windowSize"] = options.http2.stream_window;
  out["connectionWindowSize"] = options.http2.connection_window;
  out["frameSize"] = options.http2.frame_size;
  out["poolMaxStreamsPerConn"] = options.pool_max_streams;
  out["poolUnusedReleaseTimeout"] = seconds(options.pool_release);
  out["selfTerminationDeadline"] = seconds(options.termination_deadline);
  out["crlPath"] = text_or_null(options.crl_path);
  out["secretTtl"] = seconds(options.secret_ttl);
  out["enableEnhancedBaggage"] = options.response_baggage;
  out["socketConfig"] = {{"keepaliveEnabled", keepalive.enabled},
                         {"keepaliveTime", seconds(keepalive.time)},
                         {"keepaliveInterval", seconds(keepalive.interval)},
                         {"keepaliveRetries", keepalive.retries},
                         {"userTimeoutEnabled", keepalive.user_timeout}};
}

// What ztunnel has and this build has not: off, empty or null, so that the names are there.
void add_absent(json& out) {
  for (const char* key : {"altCaHostname", "altXdsHostname", "caAddress", "dnsProxyAddr", "inpodUds",
                          "preferedServiceNamespace", "socks5Addr", "xdsAddress"})
    out[key] = nullptr;
  for (const char* key : {"dnsProxy", "fakeCa", "fakeSelfInbound", "inpodPortReuse", "xdsOnDemand"})
    out[key] = false;
  out["caRootCert"] = out["xdsRootCert"] = "Default";
  out["caHeaders"] = out["xdsHeaders"] = json::array();
  out["dnsResolverCfg"] = {{"domain", nullptr}, {"name_servers", json::array()}, {"search", json::array()}};
  out["dnsResolverOpts"] = out["proxyMetadata"] = json::object();
  out["proxyArgs"] = "";
}

}  // namespace

json config_section(const Options& options) {
  json out{{"proxy", true}, {"localhostAppTunnel", true}};
  add_absent(out);
  add_ports(out, options);
  add_place(out, options);
  add_connections(out, options);
  return out;
}

json version_section(const Options& options) {
  Version own = version();
  return {{"version", own.number},
          {"gitRevision", own.revision},
          {"rustVersion", "none"},
          {"buildProfile", "release"},
          {"buildStatus", own.revision.ends_with("-dirty") ? "Modified" : "Clean"},
          {"istioVersion", options.istio_version},
          {"cryptoProvider", own.crypto}};
}

json static_section(const Options& options) {
  json out{{"workloads", json::array()}, {"services", json::array()}, {"policies", json::array()}};
  if (options.local_xds.empty() && options.local_xds_path.empty()) return out;
  std::filesystem::path path(options.local_xds_path);
  Result<config::Loaded> loaded = options.local_xds.empty()
                                      ? config::load(std::span(&path, 1))
                                      : config::load_text(options.local_xds, "LOCAL_XDS");
  if (!loaded) {
    out["error"] = loaded.error().detail;
    return out;
  }
  config::SnapshotPtr snapshot = config::Snapshot::build(std::move(loaded->mesh));
  add_mesh(*snapshot, out);
  // Here a workload says which ports of a service are whose, as the file does.
  for (size_t i = 0; i < snapshot->workloads().size(); ++i) {
    json& services = out["workloads"][i]["services"] = json::object();
    for (const auto& [key, ports] : snapshot->workloads()[i]->services) {
      services[key] = json::object();
      for (const auto& [port, target] : ports) services[key][std::to_string(port)] = target;
    }
  }
  return out;
}

}  // namespace ambientd::l4
