// SPDX-License-Identifier: Apache-2.0
#include "l4/dump_mesh.h"

#include <nlohmann/json.hpp>

#include "l4/baggage.h"

namespace ambientd::l4 {
namespace {

using namespace config;
using nlohmann::json;

void put(json& out, const char* key, const std::string& value) {
  if (!value.empty()) out[key] = value;
}

json gateway(const GatewayAddress& address) {
  return {{"destination", address.str()}, {"hboneMtlsPort", address.hbone_mtls_port}};
}

json ports(const PortMap& map) {
  json out = json::object();
  for (const auto& [service_port, target] : map) out[std::to_string(service_port)] = target;
  return out;
}

const char* health(Health status) { return status == Health::healthy ? "Healthy" : "Unhealthy"; }

json tunnel(const ApplicationTunnel& tunnel) {
  return {{"protocol", tunnel.protocol == ApplicationTunnel::Protocol::proxy ? "PROXY" : "NONE"},
          {"port", tunnel.port ? json(*tunnel.port) : json()}};
}

json locality(const Locality& at) {
  return {{"region", at.region}, {"zone", at.zone}, {"subzone", at.subzone}};
}

void add_attachments(json& out, const Workload& w) {
  if (w.waypoint) out["waypoint"] = gateway(*w.waypoint);
  if (w.network_gateway) out["networkGateway"] = gateway(*w.network_gateway);
  if (w.native_tunnel) out["nativeTunnel"] = true;
  if (w.application_tunnel) out["applicationTunnel"] = tunnel(*w.application_tunnel);
  if (!w.authorization_policies.empty()) out["authorizationPolicies"] = w.authorization_policies;
  if (!w.locality.empty()) out["locality"] = locality(w.locality);
  for (const auto& [key, map] : w.services) out["services"].push_back(key);
}

json workload(const Workload& w) {
  json out{{"workloadIps", json::array()},
           {"protocol", w.protocol == Tunnel::hbone ? "HBONE" : "TCP"},
           {"networkMode", w.network_mode == NetworkMode::standard ? "Standard" : "HostNetwork"},
           {"name", w.name},
           {"namespace", w.ns},
           {"status", health(w.status)},
           {"clusterId", w.cluster_id},
           {"workloadType", type_name(w.workload_type)},
           {"capacity", w.capacity}};
  for (const Ip& each : w.addresses) out["workloadIps"].push_back(each.str());
  put(out, "uid", w.uid);
  put(out, "trustDomain", w.trust_domain);
  put(out, "serviceAccount", w.service_account);
  put(out, "network", w.network);
  put(out, "workloadName", w.workload_name);
  put(out, "canonicalName", w.canonical_name);
  put(out, "canonicalRevision", w.canonical_revision);
  put(out, "hostname", w.hostname);
  put(out, "node", w.node);
  add_attachments(out, w);
  return out;
}

const char* name(LoadBalancer::Scope scope) {
  switch (scope) {
    case LoadBalancer::Scope::region:
      return "Region";
    case LoadBalancer::Scope::zone:
      return "Zone";
    case LoadBalancer::Scope::subzone:
      return "Subzone";
    case LoadBalancer::Scope::node:
      return "Node";
    case LoadBalancer::Scope::cluster:
      return "Cluster";
    case LoadBalancer::Scope::network:
      return "Network";
  }
  return "";
}

const char* name(LoadBalancer::Mode mode) {
  switch (mode) {
    case LoadBalancer::Mode::standard:
      return "Standard";
    case LoadBalancer::Mode::strict:
      return "Strict";
    case LoadBalancer::Mode::failover:
      return "Failover";
    case LoadBalancer::Mode::passthrough:
      return "Passthrough";
  }
  return "";
}

json load_balancer(const LoadBalancer& balancer) {
  json preferences = json::array();
  for (LoadBalancer::Scope each : balancer.routing_preferences) preferences.push_back(name(each));
  bool all = balancer.health_policy == LoadBalancer::HealthPolicy::allow_all;
  return {{"routingPreferences", preferences},
          {"mode", name(balancer.mode)},
          {"healthPolicy", all ? "AllowAll" : "OnlyHealthy"}};
}

json endpoints(const Snapshot& snapshot, const Service& service) {
  json out = json::object();
  for (const Endpoint& each : snapshot.endpoints(service)) {
    const Workload& w = *each.workload;
    out[w.uid] = {{"workloadUid", w.uid},
                  {"port", ports(each.ports ? *each.ports : PortMap{})},
                  {"status", health(w.status)}};
  }
  return out;
}

void add_options(json& out, const Service& s) {
  for (const NetworkCidr& each : s.cidr_vips)
    out["cidrVips"].push_back({{"network", each.network}, {"cidr", each.cidr.str()}});
  if (s.waypoint) out["waypoint"] = gateway(*s.waypoint);
  for (const WeightedWaypoint& each : s.weighted_waypoints)
    out["weightedWaypoints"].push_back({{"destination", gateway(each.destination)}, {"weight", each.weight}});
  if (s.load_balancer) out["loadBalancer"] = load_balancer(*s.load_balancer);
  if (s.ip_families == IpFamilies::dual) out["ipFamilies"] = "Dual";
  if (s.ip_families == IpFamilies::ipv4) out["ipFamilies"] = "IPv4";
  if (s.ip_families == IpFamilies::ipv6) out["ipFamilies"] = "IPv6";
}

json service(const Snapshot& snapshot, const Service& s) {
  json out{{"name", s.name},
           {"namespace", s.ns},
           {"hostname", s.hostname},
           {"vips", json::array()},
           {"ports", json::object()},
           {"endpoints", endpoints(snapshot, s)},
           {"subjectAltNames", s.subject_alt_names},
           {"canonical", s.canonical},
           {"visibility", s.visibility == Visibility::everywhere ? "Public" : "Namespace"}};
  for (const NetworkAddress& each : s.vips) out["vips"].push_back(each.str());
  for (const auto& [number, port] : s.ports) out["ports"][std::to_string(number)] = port.target;
  add_options(out, s);
  return out;
}

json text_match(const policy::StringMatch& match) {
  switch (match.kind) {
    case policy::StringMatch::Kind::exact:
      return {{"Exact", match.value}};
    case policy::StringMatch::Kind::prefix:
      return {{"Prefix", match.value}};
    case policy::StringMatch::Kind::suffix:
      return {{"Suffix", match.value}};
    case policy::StringMatch::Kind::presence:
      return {{"Presence", json::array()}};
  }
  return {};
}

json printed(const policy::StringMatch& match) { return text_match(match); }
json printed(const Cidr& cidr) { return cidr.str(); }
json printed(uint16_t port) { return port; }
json printed(const policy::ServiceAccountMatch& match) {
  return {{"namespace", match.ns}, {"serviceAccount", match.sa}};
}

template <class T>
void put(json& out, const char* key, const std::vector<T>& values) {
  for (const T& each : values) out[key].push_back(printed(each));
}

json match(const policy::Match& m) {
  json out = json::object();
  put(out, "namespaces", m.namespaces);
  put(out, "notNamespaces", m.not_namespaces);
  put(out, "serviceAccounts", m.service_accounts);
  put(out, "notServiceAccounts", m.not_service_accounts);
  put(out, "principals", m.principals);
  put(out, "notPrincipals", m.not_principals);
  put(out, "sourceIps", m.source_ips);
  put(out, "notSourceIps", m.not_source_ips);
  put(out, "destinationIps", m.destination_ips);
  put(out, "notDestinationIps", m.not_destination_ips);
  put(out, "destinationPorts", m.destination_ports);
  put(out, "notDestinationPorts", m.not_destination_ports);
  return out;
}

json authorization(const policy::Authorization& policy) {
  json rules = json::array();
  for (const policy::Rule& each : policy.rules) rules.push_back(rule_shown(each));
  return {{"name", policy.name},
          {"namespace", policy.ns},
          {"scope", scope_name(policy.scope)},
          {"action", action_name(policy.action)},
          {"rules", std::move(rules)},
          {"dryRun", policy.dry_run}};
}

}  // namespace

json rule_shown(const policy::Rule& rule) {
  json clauses = json::array();
  for (const policy::Clause& clause : rule) {
    json matches = json::array();
    for (const policy::Match& each : clause) matches.push_back(match(each));
    clauses.push_back(std::move(matches));
  }
  return clauses;
}

const char* action_name(policy::Authorization::Action action) {
  return action == policy::Authorization::Action::allow ? "Allow" : "Deny";
}

const char* scope_name(policy::Authorization::Scope scope) {
  switch (scope) {
    case policy::Authorization::Scope::global:
      return "Global";
    case policy::Authorization::Scope::ns:
      return "Namespace";
    case policy::Authorization::Scope::workload_selector:
      return "WorkloadSelector";
  }
  return "";
}

void add_mesh(const Snapshot& snapshot, json& out) {
  for (const WorkloadPtr& each : snapshot.workloads()) out["workloads"].push_back(workload(*each));
  for (const ServicePtr& each : snapshot.services()) out["services"].push_back(service(snapshot, *each));
  for (const AuthorizationPtr& each : snapshot.policies()) out["policies"].push_back(authorization(*each));
}

}  // namespace ambientd::l4
