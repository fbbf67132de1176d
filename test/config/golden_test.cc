// SPDX-License-Identifier: Apache-2.0
// What a real control plane made of test/fixtures/istiod (ztunnel_xds.json), against what we make of the same
// three object files: every Address and every Authorization, field by field. Two things are not compared: the
// version hash, which only the control plane's serialisation yields, and the policies of the workload
// `external`, where the control plane lists selector policies for a workload without labels
// (contract/kubernetes.md §1, a quirk).
#include <fstream>
#include <nlohmann/json.hpp>

#include "config/loader.h"
#include "test/support/catch.h"

namespace ambientd::config {
namespace {

using nlohmann::json;

constexpr const char* kDir = "test/fixtures/istiod/";

Loaded load_fixture() {
  std::filesystem::path files[] = {std::string(kDir) + "00-base.yaml",
                                   std::string(kDir) + "10-workloads.yaml",
                                   std::string(kDir) + "20-waypoint.yaml"};
  Result<Loaded> loaded = load(files);
  INFO((loaded ? "" : loaded.error().detail));
  REQUIRE(loaded);
  return std::move(*loaded);
}

json resources(const std::string& type) {
  std::ifstream in(std::string(kDir) + "ztunnel_xds.json");
  json all = json::parse(in);
  json out = json::object();
  for (const json& resource : all["resources"]["type.googleapis.com/" + type])
    out[resource["name"].get<std::string>()] = resource["resource"];
  return out;
}

std::string bytes_base64(const Ip& ip) {
  static constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  size_t size = ip.v6 ? 16 : 4;
  for (size_t i = 0; i < size; i += 3) {
    uint32_t chunk = 0;
    for (size_t j = 0; j < 3; ++j) chunk = chunk << 8 | (i + j < size ? ip.bytes[i + j] : 0u);
    for (size_t j = 0; j < 4; ++j) out += i + j <= size ? kDigits[chunk >> (18 - 6 * j) & 63] : '=';
  }
  return out;
}

// Protobuf's JSON leaves out what has its default.
void put(json& to, const char* key, json value, const json& unless) {
  if (value != unless) to[key] = std::move(value);
}

json to_json(const GatewayAddress& address) {
  json out;
  if (const auto* host = std::get_if<NamespacedHostname>(&address.destination))
    out["hostname"] = {{"namespace", host->ns}, {"hostname", host->hostname}};
  else
    out["address"] = {{"network", std::get<NetworkAddress>(address.destination).network},
                      {"address", bytes_base64(std::get<NetworkAddress>(address.destination).ip)}};
  out["hboneMtlsPort"] = address.hbone_mtls_port;
  return out;
}

json to_json(const PortMap& ports) {
  json out = json::object();
  for (const auto& [port, target] : ports) out[std::to_string(port)] = target;
  return out;
}

json to_json(const Workload& w) {
  json out = {{"uid", w.uid}, {"name", w.name}, {"namespace", w.ns}};
  for (const Ip& ip : w.addresses) out["addresses"].push_back(bytes_base64(ip));
  put(out, "hostname", w.hostname, "");
  put(out, "network", w.network, "");
  put(out, "tunnelProtocol", w.protocol == Tunnel::hbone ? "HBONE" : "NONE", "NONE");
  put(out, "networkMode", w.network_mode == NetworkMode::host_network ? "HOST_NETWORK" : "", "");
  put(out, "trustDomain", w.trust_domain, "cluster.local");
  put(out, "serviceAccount", w.service_account, "");
  put(out, "node", w.node, "");
  put(out, "canonicalName", w.canonical_name, "");
  put(out, "canonicalRevision", w.canonical_revision, "");
  put(out, "workloadType", w.workload_type == WorkloadType::pod ? "POD" : "other", "DEPLOYMENT");
  put(out, "workloadName", w.workload_name, "");
  put(out, "clusterId", w.cluster_id, "");
  put(out, "nativeTunnel", w.native_tunnel, false);
  put(out, "applicationTunnel", w.application_tunnel.has_value(), false);
  put(out, "authorizationPolicies", w.authorization_policies, json::array());
  put(out, "status", w.status == Health::healthy ? "HEALTHY" : "UNHEALTHY", "HEALTHY");
  if (w.waypoint) out["waypoint"] = to_json(*w.waypoint);
  if (w.network_gateway) out["networkGateway"] = to_json(*w.network_gateway);
  put(out["locality"], "region", w.locality.region, "");
  put(out["locality"], "zone", w.locality.zone, "");
  put(out["locality"], "subzone", w.locality.subzone, "");
  if (out["locality"].is_null()) out.erase("locality");
  put(out, "capacity", w.capacity, 1u);
  for (const auto& [key, ports] : w.services) out["services"][key] = to_json(ports);
  return out;
}

// Ports as a map: the model has no order of ports, and needs none.
json normalised(json workload) {
  if (workload.contains("services"))
    for (json& service : workload["services"]) {
      json ports = json::object();
      for (const json& port : service["ports"])
        ports[std::to_string(port["servicePort"].get<int>())] = port["targetPort"];
      service = ports;
    }
  return workload;
}

std::string protocol_name(AppProtocol protocol) {
  switch (protocol) {
    case AppProtocol::http1:
      return "HTTP11";
    case AppProtocol::http2:
      return "HTTP2";
    case AppProtocol::grpc:
      return "GRPC";
    case AppProtocol::tcp:
      return "TCP";
    case AppProtocol::tls:
      return "TLS";
    case AppProtocol::sniff:
    case AppProtocol::udp:
      return "";
  }
  return "";
}

json to_json(const LoadBalancer& lb) {
  static constexpr const char* kScopes[] = {"REGION", "ZONE", "SUBZONE", "NODE", "CLUSTER", "NETWORK"};
  static constexpr const char* kModes[] = {"UNSPECIFIED_MODE", "STRICT", "FAILOVER", "PASSTHROUGH"};
  json out = json::object();
  for (LoadBalancer::Scope scope : lb.routing_preferences)
    out["routingPreference"].push_back(kScopes[static_cast<size_t>(scope)]);
  put(out, "mode", kModes[static_cast<size_t>(lb.mode)], "UNSPECIFIED_MODE");
  put(out, "healthPolicy", lb.health_policy == LoadBalancer::HealthPolicy::allow_all ? "ALLOW_ALL" : "", "");
  return out;
}

json to_json(const Service& s) {
  json out = {{"name", s.name}, {"namespace", s.ns}, {"hostname", s.hostname}};
  for (const NetworkAddress& vip : s.vips) {
    json address = {{"address", bytes_base64(vip.ip)}};
    put(address, "network", vip.network, "");
    out["addresses"].push_back(address);
  }
  for (const NetworkCidr& vip : s.cidr_vips) out["addresses"].push_back(vip.cidr.str());
  for (const auto& [number, port] : s.ports) {
    json& made = out["ports"][std::to_string(number)] = json::object();
    put(made, "targetPort", port.target, 0);
    // An hbone port is plain TCP to a waypoint; the control plane has no word for it (contract/waypoint.md
    // §1.6).
    if (number != 15008) put(made, "appProtocol", protocol_name(port.protocol), "");
  }
  put(out, "subjectAltNames", s.subject_alt_names, json::array());
  if (s.waypoint) out["waypoint"] = to_json(*s.waypoint);
  put(out, "weightedWaypoints", s.weighted_waypoints.size(), 0u);
  if (s.load_balancer) out["loadBalancing"] = to_json(*s.load_balancer);
  put(out, "ipFamilies", static_cast<int>(s.ip_families), 0);
  put(out, "canonical", s.canonical, false);
  put(out, "ingressUseWaypoint", s.ingress_use_waypoint, false);
  put(out, "visibility", static_cast<int>(s.visibility), 0);
  return out;
}

json normalised_service(json service) {
  json ports = json::object();
  for (json port : service["ports"]) {
    std::string number = std::to_string(port["servicePort"].get<int>());
    port.erase("servicePort");
    ports[number] = port;
  }
  service["ports"] = ports;
  return service;
}

json to_json(const policy::StringMatch& match) {
  switch (match.kind) {
    case policy::StringMatch::Kind::exact:
      return {{"exact", match.value}};
    case policy::StringMatch::Kind::prefix:
      return {{"prefix", match.value}};
    case policy::StringMatch::Kind::suffix:
      return {{"suffix", match.value}};
    case policy::StringMatch::Kind::presence:
      return {{"presence", json::object()}};
  }
  return {};
}

json to_json(const Cidr& cidr) { return {{"address", bytes_base64(cidr.ip)}, {"length", cidr.length}}; }
json to_json(const policy::ServiceAccountMatch& m) { return {{"namespace", m.ns}, {"serviceAccount", m.sa}}; }
json to_json(uint16_t port) { return port; }

template <class T>
void put_list(json& to, const char* key, const std::vector<T>& list) {
  for (const T& value : list) to[key].push_back(to_json(value));
}

json to_json(const policy::Match& m) {
  json out = json::object();
  put_list(out, "namespaces", m.namespaces);
  put_list(out, "notNamespaces", m.not_namespaces);
  put_list(out, "serviceAccounts", m.service_accounts);
  put_list(out, "notServiceAccounts", m.not_service_accounts);
  put_list(out, "principals", m.principals);
  put_list(out, "notPrincipals", m.not_principals);
  put_list(out, "sourceIps", m.source_ips);
  put_list(out, "notSourceIps", m.not_source_ips);
  put_list(out, "destinationIps", m.destination_ips);
  put_list(out, "notDestinationIps", m.not_destination_ips);
  put_list(out, "destinationPorts", m.destination_ports);
  put_list(out, "notDestinationPorts", m.not_destination_ports);
  return out;
}

json to_json(const policy::Authorization& p) {
  static constexpr const char* kScopes[] = {"GLOBAL", "NAMESPACE", "WORKLOAD_SELECTOR"};
  json out = {{"name", p.name}, {"namespace", p.ns}};
  put(out, "scope", kScopes[static_cast<size_t>(p.scope)], "GLOBAL");
  put(out, "action", p.action == policy::Authorization::Action::deny ? "DENY" : "ALLOW", "ALLOW");
  put(out, "dryRun", p.dry_run, false);
  for (const policy::Rule& rule : p.rules) {
    json group = json::object();
    for (const policy::Clause& clause : rule) {
      json made = json::object();
      for (const policy::Match& match : clause) made["matches"].push_back(to_json(match));
      group["rules"].push_back(made);
    }
    out["groups"].push_back(group);
  }
  return out;
}

}  // namespace

TEST_CASE("the fixture's workloads are those the control plane derived") {
  Loaded loaded = load_fixture();
  size_t expected = 0;
  std::map<std::string, const Workload*> ours;
  for (const Workload& workload : loaded.mesh.workloads) ours[workload.uid] = &workload;
  for (const auto& [name, resource] : resources("istio.workload.Address").items()) {
    if (!resource.contains("workload")) continue;
    ++expected;
    INFO(name);
    REQUIRE(ours.contains(name));
    json wanted = normalised(resource["workload"]);
    if (name.ends_with("/external/localhost")) wanted.erase("authorizationPolicies");
    CHECK(to_json(*ours[name]) == wanted);
  }
  CHECK(expected == 12);
  CHECK(ours.size() == expected);
}

TEST_CASE("the fixture's services are those the control plane derived") {
  Loaded loaded = load_fixture();
  size_t expected = 0;
  std::map<std::string, const Service*> ours;
  for (const Service& service : loaded.mesh.services) ours[service.key()] = &service;
  for (const auto& [name, resource] : resources("istio.workload.Address").items()) {
    if (!resource.contains("service")) continue;
    ++expected;
    INFO(name);
    REQUIRE(ours.contains(name));
    CHECK(to_json(*ours[name]) == normalised_service(resource["service"]));
  }
  CHECK(expected == 11);
  CHECK(ours.size() == expected);
}

TEST_CASE("the fixture's L4 policies are those the control plane derived, clause by clause") {
  Loaded loaded = load_fixture();
  json expected = resources("istio.security.Authorization");
  CHECK(expected.size() == 6);
  CHECK(loaded.mesh.policies.size() == expected.size());
  for (const policy::Authorization& policy : loaded.mesh.policies) {
    INFO(policy.key());
    REQUIRE(expected.contains(policy.key()));
    CHECK(to_json(policy) == expected[policy.key()]);
  }
}

}  // namespace ambientd::config
