// SPDX-License-Identifier: Apache-2.0
// Kubernetes, Istio and Gateway API objects as read from files: only the fields the mesh depends on, defaults
// filled in the way the API server fills them (contract/kubernetes.md §0). Readers (read_*.cc) make them from
// text, derive.cc turns the lot into a Mesh.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "config/model.h"
#include "config/route.h"
#include "policy/jwt_rule.h"
#include "policy/l7_authorization.h"

namespace ambientd::config::kubernetes {

using Labels = std::map<std::string, std::string>;

struct Owner {
  std::string kind, name;
};

struct Meta {
  std::string kind, name, ns, uid;
  std::string generate_name;
  std::string created;  // RFC 3339, compared as text; empty sorts first
  Labels labels, annotations;
  std::optional<Owner> controller;
  bool deleting = false;
  std::string file;
  int line = 0;

  std::string key() const { return ns + "/" + name; }
  std::string subject() const { return kind + " " + (ns.empty() ? name : key()); }
};

// Label selectors: matchLabels only; readers refuse matchExpressions where they could not be honoured.
struct Selector {
  Labels labels;
  bool present = false;  // and not empty: an empty selector counts as none (contract/kubernetes.md §8)
};

struct Namespace {
  Meta meta;
};

struct Node {
  Meta meta;
};

struct NamedPort {
  std::string name;
  uint16_t port = 0;
};

struct Pod {
  Meta meta;
  std::vector<Ip> ips;
  std::string service_account, node;
  bool host_network = false;
  bool finished = false;  // phase Succeeded or Failed
  bool ready = true;      // condition Ready; true when there are no conditions at all (hand-written files)
  std::vector<NamedPort> tcp_ports;  // containers in order, then sidecar init containers
};

struct ServicePort {
  std::string name;
  uint16_t port = 0;
  uint16_t target = 0;      // 0: named
  std::string target_name;  // a container port
  AppProtocol protocol = AppProtocol::sniff;
};

enum class Distribution : uint8_t { unset, any, same_zone, same_node };

struct Service {
  Meta meta;
  std::vector<Ip> cluster_ips;
  Labels selector;
  std::vector<ServicePort> ports;
  bool external_name = false;
  bool local_only = false;  // internalTrafficPolicy Local
  bool publish_not_ready = false;
  Distribution distribution = Distribution::unset;
  IpFamilies ip_families = IpFamilies::automatic;
};

struct SliceEndpoint {
  std::vector<Ip> addresses;
  bool ready = true;
  bool is_pod = false;
  std::string pod_name, pod_ns, pod_uid;
};

struct EndpointSlice {
  Meta meta;
  std::string service;  // name; empty: not of a Service
  std::vector<SliceEndpoint> endpoints;
  std::vector<NamedPort> ports;  // TCP
};

// A WorkloadEntry's spec, or an endpoint inside a ServiceEntry.
struct MeshEndpoint {
  std::string address;
  std::map<std::string, uint16_t> ports;  // by port name
  Labels labels;
  bool has_labels = false;
  std::optional<std::string> network;
  std::string service_account;
  Locality locality;
  uint32_t weight = 0;
  int line = 0;
};

struct WorkloadEntry {
  Meta meta;
  MeshEndpoint endpoint;
};

enum class Resolution : uint8_t { none, fixed, dns, dns_round_robin, dynamic_dns };

struct ServiceEntry {
  Meta meta;
  std::vector<std::string> hosts;
  std::vector<Cidr> addresses;
  std::vector<std::pair<std::string, Ip>> allocated;  // status.addresses: host, address
  Resolution resolution = Resolution::none;
  std::vector<ServicePort> ports;
  std::vector<MeshEndpoint> endpoints;
  Labels selector;
  bool has_selector = false;
  std::vector<std::string> subject_alt_names;
};

struct GatewayClass {
  Meta meta;
  std::string controller;
};

struct GatewayAddressSpec {
  bool hostname = false;  // else an IP
  std::string value;
};

struct Listener {
  enum class From : uint8_t { same, all, selector };
  std::string name, protocol;
  uint16_t port = 0;
  From from = From::same;
  Labels allowed;  // namespace labels
};

struct Gateway {
  Meta meta;
  std::string class_name;
  std::vector<Listener> listeners;
  std::vector<GatewayAddressSpec> spec_addresses, status_addresses;
};

// A reference to another object: a parent, a backend or a policy's target.
struct Reference {
  std::string group, kind, ns, name;
  uint16_t port = 0;    // 0: any
  std::string section;  // sectionName
  int line = 0;
};

// The filters of a rule or of one of its backends.
struct RouteFilters {
  HeaderOps request_headers, response_headers;
  std::optional<Redirect> redirect;
  std::optional<Rewrite> rewrite;
  std::optional<Cors> cors;
  bool refused = false;  // one of them cannot be honoured: answered 500

  bool only_headers() const { return !redirect && !rewrite && !cors; }
};

struct RouteBackend {
  Reference target;
  uint32_t weight = 1;
  RouteFilters filters;
};

struct RouteRuleSpec {
  std::string name;
  std::vector<RouteMatch> matches;  // at least one
  RouteFilters filters;
  std::vector<RouteBackend> backends;
  std::optional<uint64_t> timeout_ms;
  RetryPolicy retry;
};

struct Route {  // an HTTPRoute, or a GRPCRoute, whose calls are requests with a path
  Meta meta;
  std::vector<Reference> parents;
  std::vector<RouteRuleSpec> rules;
};

// One AuthorizationPolicy.
struct Policy {
  using Action = policy::L7Authorization::Action;
  Meta meta;
  Selector selector;
  std::vector<Reference> targets;
  Action action = Action::allow;
  std::vector<policy::L7Rule> rules;
  bool dry_run = false;
};

struct RequestAuthentication {
  Meta meta;
  Selector selector;
  std::vector<Reference> targets;
  std::vector<policy::JwtRulePtr> rules;
};

struct PeerAuthentication {
  enum class Mode : uint8_t { unset, disable, permissive, strict };
  Meta meta;
  Selector selector;
  Mode mode = Mode::unset;
  std::map<uint16_t, Mode> ports;
};

struct MeshConfig {
  Meta meta;
  std::optional<std::string> root_namespace, trust_domain, access_log_file;
};

struct Objects {
  std::vector<Namespace> namespaces;
  std::vector<Node> nodes;
  std::vector<Pod> pods;
  std::vector<Service> services;
  std::vector<EndpointSlice> slices;
  std::vector<WorkloadEntry> workload_entries;
  std::vector<ServiceEntry> service_entries;
  std::vector<GatewayClass> gateway_classes;
  std::vector<Gateway> gateways;
  std::vector<Route> routes;
  std::vector<Policy> policies;
  std::vector<RequestAuthentication> request_authentications;
  std::vector<PeerAuthentication> peer_authentications;
  std::vector<MeshConfig> mesh_configs;
};

}  // namespace ambientd::config::kubernetes
