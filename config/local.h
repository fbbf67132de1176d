// SPDX-License-Identifier: Apache-2.0
// ztunnel's local YAML: workloads, services and policies written out as the model has them
// (contract/ztunnel.md §14). Unknown fields are errors at every level. Both spellings of a string match are
// taken: `!Exact "x"` and
// `{Exact: x}`; and, unlike in ztunnel, the services a workload names are kept.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/field.h"
#include "config/snapshot.h"

namespace ambientd::config {

// An endpoint written under a service: it joins its workload, of whatever file, once all are read.
struct LocalEndpoint {
  std::string service;   // "ns/hostname"
  std::string workload;  // uid
  PortMap ports;
  Health status = Health::healthy;
  std::string file;
  int line = 0;
};

struct LocalConfig {
  std::vector<Workload> workloads;
  std::vector<Service> services;
  std::vector<policy::Authorization> policies;
  std::vector<LocalEndpoint> endpoints;
};

bool is_local_list(std::string_view list);  // one of workloads, services, policies

// One item of the top-level list `list`, appended to *out.
void read_local_item(std::string_view list, Reading& reading, LocalConfig* out);

// What is left of a document when its items are out: nothing else may be there.
void read_local_rest(Reading& reading);

// One file each; they report what is wrong and return what they could read.
Workload read_local_workload(const Field& at);
Service read_local_service(const Field& at, std::vector<LocalEndpoint>* endpoints);
policy::Authorization read_local_policy(const Field& at);

// Shared by several of them.
std::optional<NetworkAddress> read_network_address(const Field& at);  // "network/ip"
std::optional<GatewayAddress> read_gateway_address(const Field& at);  // {destination, hboneMtlsPort}
PortMap read_port_map(const Field& at);                               // {80: 8080}
Health read_health(const Field& at);

}  // namespace ambientd::config
