// SPDX-License-Identifier: Apache-2.0
// Everything the process is told when it starts, as one plain value with its defaults in place. main passes
// the parts on: nobody else reads flags or environment variables.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/log_filter.h"
#include "core/socket.h"

namespace ambientd {

enum class Mode : uint8_t { ztunnel, waypoint };

// What becomes of a call to a service or workload that asks for a waypoint which is missing. As Istio has it:
// one whose Gateway does not exist is called without a waypoint, one whose waypoint has no instance is
// refused.
enum class MissingWaypoint : uint8_t { istio, refuse, pass };

enum class Command : uint8_t {
  run,
  check,
  redirect_apply,
  redirect_remove,
  redirect_print,
  ctl,
  version,
  help
};

// Who somebody is: `namespace/name/service-account`.
struct WorkloadName {
  std::string ns, name, sa;
  bool operator==(const WorkloadName&) const = default;
};

// A pod to serve: `namespace/name/service-account=/run/netns/X`.
struct PodName {
  WorkloadName workload;
  std::string netns;  // path of the network namespace
  bool operator==(const PodName&) const = default;
};

struct Ports {
  uint16_t admin = 15000;  // loopback only
  uint16_t stats = 15020;
  uint16_t readiness = 15021;
  uint16_t outbound = 15001;
  uint16_t inbound_plaintext = 15006;
  uint16_t hbone = 15008;
};

// Where certificates come from. All empty: the demo CA in ca_dir.
struct IdentityFiles {
  std::string ca_cert, ca_key;  // PEM of an in-process CA
  std::string cert, key, root;  // PEM of one workload's own certificate
  std::string ca_dir = "/run/ambientd/ca";
};

// `ambientd ctl`: what to show, of whom, how.
struct CtlOptions {
  std::string what;                         // workloads, services, …: the names of core/ctl_flags.cc
  std::string address = "localhost:15000";  // of an admin port
  std::string file;                         // a saved dump instead; `-`: standard input
  std::string output = "table";             // or json, yaml
  std::string ns;                           // only of this namespace
  bool raw = false;                         // connections: addresses instead of names
  std::string log_level, log_workload;
  bool log_reset = false;
  std::string why_source, why_destination;
};

struct Http2Options {
  uint32_t stream_window = 4 << 20;       // bytes; a waypoint's default is 1 MiB
  uint32_t connection_window = 16 << 20;  // bytes
  uint32_t frame_size = 1 << 20;          // bytes
};

struct Options {
  Command command = Command::run;
  std::string help;  // of the subcommand that was asked about; empty: of all
  CtlOptions ctl;
  bool redirect_dns = false;

  Mode mode = Mode::ztunnel;
  bool dedicated = false;           // PROXY_MODE=dedicated
  std::vector<std::string> config;  // files and directories
  std::string local_xds;            // LOCAL_XDS: ztunnel's local YAML, inline
  std::string local_xds_path;  // LOCAL_XDS_PATH: the same as a file; in `config` too unless flags beat it
  std::optional<WorkloadName> workload;
  std::vector<PodName> pods;
  size_t workers = 2;

  log::Filter log_filter;
  bool log_json = false;
  bool log_authorization = false;  // AUTHZ_POLICY_INFO_LOGGING: decisions at info instead of debug

  IdentityFiles identity;
  std::string crl_path;       // revocation lists; empty: none are checked
  bool tls12 = false;         // accept and offer TLS 1.2 as well
  bool post_quantum = false;  // no key exchange but X25519MLKEM768
  std::chrono::seconds secret_ttl = std::chrono::hours(24);
  std::string trust_domain = "cluster.local";
  std::string cluster_id = "Kubernetes";
  std::string cluster_domain = "cluster.local";
  std::string network;
  MissingWaypoint missing_waypoint = MissingWaypoint::istio;
  std::string node;  // empty: every workload counts as local

  Ports ports;
  std::optional<bool> original_source;  // unset: where the kernel lets us
  uint32_t packet_mark = 0x539;
  bool ipv6 = true;
  bool response_baggage = true;
  bool localhost_app_tunnel = true;
  Http2Options http2;
  Keepalive keepalive;
  std::string app_congestion_control = "cubic";  // between applications and us; `host`: as the host has it
  uint16_t pool_max_streams = 100;               // per connection
  std::chrono::seconds pool_release = std::chrono::minutes(5);  // idle connections
  std::chrono::seconds termination_deadline{5};                 // of a graceful drain

  std::string pod_name, pod_namespace, service_account;  // our own, from the downward API
  std::string istio_version = "unknown";
};

}  // namespace ambientd
