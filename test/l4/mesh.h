// SPDX-License-Identifier: Apache-2.0
// Small meshes for tests: workloads and services in namespace default with what matters filled in.
#pragma once

#include <string>

#include "config/snapshot.h"

namespace ambientd::l4::test {

inline config::Workload workload(const std::string& name, const std::string& ip,
                                 config::Tunnel protocol = config::Tunnel::hbone) {
  config::Workload out;
  out.uid = "Kubernetes//Pod/default/" + name;
  out.name = name + "-0";
  out.ns = "default";
  if (!ip.empty()) out.addresses = {*Ip::parse(ip)};
  out.protocol = protocol;
  out.trust_domain = "cluster.local";
  out.service_account = name;
  out.workload_name = name;
  out.canonical_name = name;
  out.canonical_revision = "v1";
  out.cluster_id = "Kubernetes";
  out.node = "n1";
  return out;
}

inline std::string host(const std::string& name) { return name + ".default.svc.cluster.local"; }

inline config::Service service(const std::string& name, const std::string& vip, uint16_t port = 80,
                               uint16_t target = 8080) {
  config::Service out;
  out.name = name;
  out.ns = "default";
  out.hostname = host(name);
  if (!vip.empty()) out.vips = {{"", *Ip::parse(vip)}};
  out.ports[port].target = target;
  return out;
}

// Makes a workload an endpoint.
inline config::Workload behind(config::Workload w, const std::string& service,
                               config::PortMap ports = {{80, 8080}}) {
  w.services["default/" + host(service)] = std::move(ports);
  return w;
}

inline config::GatewayAddress by_host(const std::string& name, uint16_t port = 15008) {
  return {config::NamespacedHostname{"default", host(name)}, port};
}
inline config::GatewayAddress by_ip(const std::string& ip, uint16_t port = 15008) {
  return {config::NetworkAddress{"", *Ip::parse(ip)}, port};
}

}  // namespace ambientd::l4::test
