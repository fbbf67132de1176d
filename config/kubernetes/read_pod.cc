// SPDX-License-Identifier: Apache-2.0
#include "config/kubernetes/read.h"

namespace ambientd::config::kubernetes {
namespace {

void read_ips(const Field& status, Pod* pod) {
  for (const Field& entry : status["podIPs"].each())
    if (std::optional<Ip> ip = entry["ip"].ip()) pod->ips.push_back(*ip);
  if (!pod->ips.empty()) return;
  if (std::optional<Ip> ip = status["podIP"].ip()) pod->ips.push_back(*ip);
}

void read_ports(const Field& container, Pod* pod) {
  for (const Field& port : container["ports"].each()) {
    std::string name = port["name"].text();
    if (name.empty() || port["protocol"].text("TCP") != "TCP") continue;
    if (std::optional<uint16_t> number = port["containerPort"].port())
      pod->tcp_ports.push_back({name, *number});
  }
}

bool is_ready(const Field& status) {
  std::vector<Field> conditions = status["conditions"].each();
  for (const Field& condition : conditions)
    if (condition["type"].text() == "Ready") return condition["status"].text() == "True";
  return conditions.empty();
}

}  // namespace

void read_pod(Meta meta, const Field& root, Objects* out) {
  Pod pod;
  Field spec = root["spec"], status = root["status"];
  pod.service_account = spec["serviceAccountName"].text("default");
  pod.node = spec["nodeName"].text();
  pod.host_network = spec["hostNetwork"].flag();
  std::string phase = status["phase"].text("Running");
  pod.finished = phase == "Succeeded" || phase == "Failed";
  read_ips(status, &pod);
  pod.ready = is_ready(status) && !meta.deleting;
  for (const Field& container : spec["containers"].each()) read_ports(container, &pod);
  for (const Field& container : spec["initContainers"].each())
    if (container["restartPolicy"].text() == "Always") read_ports(container, &pod);
  pod.meta = std::move(meta);
  out->pods.push_back(std::move(pod));
}

void read_endpoint_slice(Meta meta, const Field& root, Objects* out) {
  EndpointSlice slice;
  if (root["addressType"].text("IPv4") == "FQDN") return;
  if (auto at = meta.labels.find("kubernetes.io/service-name"); at != meta.labels.end())
    slice.service = at->second;
  for (const Field& item : root["endpoints"].each()) {
    SliceEndpoint endpoint;
    for (const Field& address : item["addresses"].each())
      if (std::optional<Ip> ip = address.ip()) endpoint.addresses.push_back(*ip);
    endpoint.ready = item["conditions"]["ready"].flag(true);
    Field target = item["targetRef"];
    endpoint.is_pod = target["kind"].text() == "Pod";
    endpoint.pod_name = target["name"].text();
    endpoint.pod_ns = target["namespace"].text();
    endpoint.pod_uid = target["uid"].text();
    slice.endpoints.push_back(std::move(endpoint));
  }
  for (const Field& port : root["ports"].each()) {
    if (port["protocol"].text("TCP") != "TCP" || !port["port"]) continue;
    if (std::optional<uint16_t> number = port["port"].port())
      slice.ports.push_back({port["name"].text(), *number});
  }
  slice.meta = std::move(meta);
  out->slices.push_back(std::move(slice));
}

}  // namespace ambientd::config::kubernetes
