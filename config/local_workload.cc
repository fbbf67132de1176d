// SPDX-License-Identifier: Apache-2.0
#include "config/local.h"

namespace ambientd::config {
namespace {

Locality read_locality(const Field& at) {
  if (!at) return {};
  for (std::string_view part : {"region", "zone", "subzone"}) at.need(part);
  return {at["region"].text(), at["zone"].text(), at["subzone"].text()};
}

std::optional<ApplicationTunnel> read_tunnel(const Field& at) {
  using Protocol = ApplicationTunnel::Protocol;
  if (!at) return {};
  ApplicationTunnel out;
  out.protocol =
      at["protocol"].choice<Protocol>({{"NONE", Protocol::none}, {"PROXY", Protocol::proxy}}, Protocol::none);
  out.port = at["port"].port();
  return out;
}

void read_kind(const Field& at, Workload* out) {
  out->protocol =
      at["protocol"].choice<Tunnel>({{"TCP", Tunnel::tcp}, {"HBONE", Tunnel::hbone}}, Tunnel::tcp);
  out->network_mode = at["networkMode"].choice<NetworkMode>(
      {{"Standard", NetworkMode::standard}, {"HostNetwork", NetworkMode::host_network}},
      NetworkMode::standard);
  out->workload_type = at["workloadType"].choice<WorkloadType>({{"deployment", WorkloadType::deployment},
                                                                {"cronjob", WorkloadType::cronjob},
                                                                {"pod", WorkloadType::pod},
                                                                {"job", WorkloadType::job},
                                                                {"Deployment", WorkloadType::deployment},
                                                                {"CronJob", WorkloadType::cronjob},
                                                                {"Pod", WorkloadType::pod},
                                                                {"Job", WorkloadType::job}},
                                                               WorkloadType::deployment);
  out->status = read_health(at["status"]);
  out->native_tunnel = at["nativeTunnel"].flag();
  out->application_tunnel = read_tunnel(at["applicationTunnel"]);
}

void read_names(const Field& at, Workload* out) {
  out->name = at["name"].text();
  out->ns = at.need_text("namespace");
  out->uid = at["uid"].text();
  out->hostname = at["hostname"].text();
  out->network = at["network"].text();
  out->trust_domain = at["trustDomain"].text();
  out->service_account = at["serviceAccount"].text();
  out->node = at["node"].text();
  out->canonical_name = at["canonicalName"].text();
  out->canonical_revision = at["canonicalRevision"].text();
  out->workload_name = at["workloadName"].text();
  out->cluster_id = at["clusterId"].text();
}

}  // namespace

Workload read_local_workload(const Field& at) {
  Workload out;
  read_names(at, &out);
  read_kind(at, &out);
  for (const Field& field : at.need("workloadIps").each())
    if (std::optional<Ip> ip = field.ip()) out.addresses.push_back(*ip);
  for (const auto& [key, ports] : at["services"].entries()) {
    if (!key.contains('/')) ports.error("the key must be namespace/hostname");
    out.services.emplace(key, read_port_map(ports));
  }
  out.authorization_policies = at["authorizationPolicies"].texts();
  out.waypoint = read_gateway_address(at["waypoint"]);
  out.network_gateway = read_gateway_address(at["networkGateway"]);
  out.locality = read_locality(at["locality"]);
  out.capacity = static_cast<uint32_t>(at["capacity"].number(0, UINT32_MAX).value_or(1));
  if (out.uid.empty() && out.name.empty()) at.error("needs a uid or a name");
  if (out.uid.empty()) out.uid = out.cluster_id + "//Pod/" + out.ns + "/" + out.name;
  return out;
}

}  // namespace ambientd::config
