// SPDX-License-Identifier: Apache-2.0
#include "config/kubernetes/read.h"
#include "core/text.h"

namespace ambientd::config::kubernetes {
namespace {

Locality read_locality(std::string_view text) {  // region/zone/subzone, the rest is ignored
  Locality out;
  std::vector<std::string_view> parts = split(text, '/');
  std::string* fields[] = {&out.region, &out.zone, &out.subzone};
  for (size_t i = 0; i < parts.size() && i < 3; ++i) *fields[i] = parts[i];
  return out;
}

MeshEndpoint read_mesh_endpoint(const Field& spec) {
  MeshEndpoint out;
  out.address = spec["address"].text();
  for (const auto& [name, port] : spec["ports"].entries())
    if (std::optional<uint16_t> number = port.port()) out.ports.emplace(name, *number);
  out.has_labels = static_cast<bool>(spec["labels"]);
  out.labels = spec["labels"].text_map();
  if (Field network = spec["network"]) out.network = network.text();
  out.service_account = spec["serviceAccount"].text();
  out.locality = read_locality(spec["locality"].text());
  out.weight = static_cast<uint32_t>(spec["weight"].number(0, UINT32_MAX).value_or(0));
  out.line = spec.line();
  return out;
}

std::optional<ServicePort> read_port(const Field& field) {
  ServicePort port;
  std::optional<uint16_t> number = field.need("number").port();
  port.name = field["name"].text();
  std::string protocol = field["protocol"].text();
  port.target = field["targetPort"] ? field["targetPort"].port().value_or(0) : number.value_or(0);
  if (!number) return {};
  port.port = *number;
  port.protocol = app_protocol(protocol == "UDP" ? "UDP" : "TCP", protocol, port.name, port.port);
  return port;
}

Resolution read_resolution(const Field& field) {
  return field.choice<Resolution>({{"NONE", Resolution::none},
                                   {"STATIC", Resolution::fixed},
                                   {"DNS", Resolution::dns},
                                   {"DNS_ROUND_ROBIN", Resolution::dns_round_robin},
                                   {"DYNAMIC_DNS", Resolution::dynamic_dns}},
                                  Resolution::none);
}

void read_addresses(const Field& root, ServiceEntry* entry) {
  for (const Field& address : root["spec"]["addresses"].each())
    if (std::optional<Cidr> cidr = address.cidr()) entry->addresses.push_back(*cidr);
  for (const Field& address : root["status"]["addresses"].each())
    if (std::optional<Ip> ip = address["value"].ip())
      entry->allocated.emplace_back(address["host"].text(), *ip);
}

}  // namespace

void read_workload_entry(Meta meta, const Field& root, Objects* out) {
  Field spec = root["spec"];
  WorkloadEntry entry{std::move(meta), read_mesh_endpoint(spec)};
  if (entry.endpoint.address.empty()) spec["address"].error("is required");
  spec.refuse_unknown();
  out->workload_entries.push_back(std::move(entry));
}

void read_service_entry(Meta meta, const Field& root, Objects* out) {
  ServiceEntry entry;
  Field spec = root["spec"];
  entry.hosts = spec.need("hosts").texts();
  entry.resolution = read_resolution(spec["resolution"]);
  spec["location"].ignore();  // not consulted by ambient (contract/kubernetes.md §5)
  spec["exportTo"].ignore();
  read_addresses(root, &entry);
  for (const Field& field : spec["ports"].each())
    if (std::optional<ServicePort> port = read_port(field)) entry.ports.push_back(std::move(*port));
  for (const Field& field : spec["endpoints"].each()) entry.endpoints.push_back(read_mesh_endpoint(field));
  entry.has_selector = static_cast<bool>(spec["workloadSelector"]);
  entry.selector = spec["workloadSelector"]["labels"].text_map();
  entry.subject_alt_names = spec["subjectAltNames"].texts();
  spec.refuse_unknown();
  entry.meta = std::move(meta);
  out->service_entries.push_back(std::move(entry));
}

}  // namespace ambientd::config::kubernetes
