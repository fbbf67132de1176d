// SPDX-License-Identifier: Apache-2.0
#include "config/local.h"

#include <fmt/format.h>

#include "core/text.h"

namespace ambientd::config {
namespace {

std::string_view one_of(std::string_view list) {
  if (list == "workloads") return "workload";
  return list == "services" ? "service" : "policy";
}

}  // namespace

bool is_local_list(std::string_view list) {
  return list == "workloads" || list == "services" || list == "policies";
}

void read_local_item(std::string_view list, Reading& reading, LocalConfig* out) {
  Field at(reading);
  if (!at.is(Value::Kind::map)) return at.error("must be a map");
  reading.subject = fmt::format("{} {}/{}", one_of(list), at["namespace"].text(), at["name"].text());
  size_t first = out->endpoints.size();
  if (list == "workloads") out->workloads.push_back(read_local_workload(at));
  if (list == "services") out->services.push_back(read_local_service(at, &out->endpoints));
  if (list == "policies") out->policies.push_back(read_local_policy(at));
  for (; first < out->endpoints.size(); ++first) out->endpoints[first].file = reading.file;
  at.refuse_unknown();
}

void read_local_rest(Reading& reading) {
  Field at(reading);
  for (std::string_view list : {"workloads", "services", "policies"})
    if (at[list].is(Value::Kind::map) || at[list].is(Value::Kind::scalar)) at[list].error("must be a list");
  at.refuse_unknown();
}

std::optional<NetworkAddress> read_network_address(const Field& at) {
  if (!at) return {};
  std::string text = at.text();
  size_t slash = text.find('/');
  std::optional<Ip> ip =
      slash == text.npos ? std::nullopt : Ip::parse(std::string_view(text).substr(slash + 1));
  if (ip) return NetworkAddress{text.substr(0, slash), *ip};
  at.error("must be network/ip, not " + quoted(text));
  return {};
}

std::optional<GatewayAddress> read_gateway_address(const Field& at) {
  if (!at) return {};
  GatewayAddress out;
  Field destination = at.need("destination");
  std::string text = destination.text();
  out.hbone_mtls_port = at["hboneMtlsPort"].port().value_or(15008);
  size_t slash = text.find('/');
  if (slash == text.npos || slash + 1 == text.size()) {
    if (destination) destination.error("must be network/ip or namespace/hostname, not " + quoted(text));
    return {};
  }
  std::string first = text.substr(0, slash), second = text.substr(slash + 1);
  if (std::optional<Ip> ip = Ip::parse(second))
    out.destination = NetworkAddress{first, *ip};
  else
    out.destination = NamespacedHostname{first, second};
  return out;
}

PortMap read_port_map(const Field& at) {
  PortMap out;
  for (const auto& [key, value] : at.entries()) {
    std::optional<uint64_t> port = parse_uint(key);
    std::optional<uint64_t> target = value.number(0, 65535);
    if (!port || *port == 0 || *port > 65535)
      value.error("the key must be a port from 1 to 65535");
    else if (target)
      out[static_cast<uint16_t>(*port)] = static_cast<uint16_t>(*target);
  }
  return out;
}

Health read_health(const Field& at) {
  return at.choice<Health>({{"Healthy", Health::healthy}, {"Unhealthy", Health::unhealthy}}, Health::healthy);
}

}  // namespace ambientd::config
