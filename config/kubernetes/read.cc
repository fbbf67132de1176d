// SPDX-License-Identifier: Apache-2.0
#include "config/kubernetes/read.h"

#include <algorithm>

#include "core/http1_grammar.h"
#include "core/text.h"

namespace ambientd::config::kubernetes {
namespace {

Meta read_meta(std::string kind, const Field& root, Reading& reading) {
  Meta meta;
  meta.kind = std::move(kind);
  meta.file = reading.file;
  meta.line = root.line();
  Field metadata = root["metadata"];
  meta.name = metadata["name"].text();
  meta.ns = metadata["namespace"].text();
  meta.uid = metadata["uid"].text();
  meta.generate_name = metadata["generateName"].text();
  meta.created = metadata["creationTimestamp"].text();
  meta.deleting = static_cast<bool>(metadata["deletionTimestamp"]);
  meta.labels = metadata["labels"].text_map();
  meta.annotations = metadata["annotations"].text_map();
  for (const Field& owner : metadata["ownerReferences"].each())
    if (owner["controller"].flag() && !meta.controller)
      meta.controller = Owner{owner["kind"].text(), owner["name"].text()};
  metadata.ignore();
  return meta;
}

bool is_name(std::string_view name) {  // what may stand in a key `ns/name`
  return !name.empty() && name.size() <= 253 &&
         std::ranges::none_of(name, [](unsigned char c) { return c <= ' ' || c == '/' || c == 0x7f; });
}

void read_namespace(Meta meta, const Field& root, Objects* out) {
  root.ignore();
  out->namespaces.push_back({std::move(meta)});
}

void read_node(Meta meta, const Field& root, Objects* out) {
  root.ignore();
  out->nodes.push_back({std::move(meta)});
}

struct Kind {
  std::string_view group, name;
  bool namespaced;
  void (*read)(Meta, const Field&, Objects*);  // null: known, not supported yet
};

constexpr std::string_view kGatewayApi = "gateway.networking.k8s.io";

constexpr Kind kKinds[] = {
    {"", "Namespace", false, read_namespace},
    {"", "Node", false, read_node},
    {"", "Pod", true, read_pod},
    {"", "Service", true, read_service},
    {"discovery.k8s.io", "EndpointSlice", true, read_endpoint_slice},
    {"networking.istio.io", "WorkloadEntry", true, read_workload_entry},
    {"networking.istio.io", "ServiceEntry", true, read_service_entry},
    {kGatewayApi, "GatewayClass", false, read_gateway_class},
    {kGatewayApi, "Gateway", true, read_gateway},
    {kGatewayApi, "HTTPRoute", true, read_http_route},
    {kGatewayApi, "GRPCRoute", true, read_grpc_route},
    {"security.istio.io", "AuthorizationPolicy", true, read_authorization_policy},
    {"security.istio.io", "RequestAuthentication", true, read_request_authentication},
    {"security.istio.io", "PeerAuthentication", true, read_peer_authentication},
    {"", "Secret", true, nullptr},
    {kGatewayApi, "TCPRoute", true, nullptr},
    {kGatewayApi, "TLSRoute", true, nullptr},
    {kGatewayApi, "BackendTLSPolicy", true, nullptr},
    {"networking.istio.io", "VirtualService", true, nullptr},
    {"networking.istio.io", "DestinationRule", true, nullptr},
    {"telemetry.istio.io", "Telemetry", true, nullptr},
};

std::string_view group_of(std::string_view api_version) {
  size_t slash = api_version.find('/');
  return slash == api_version.npos ? std::string_view() : api_version.substr(0, slash);
}

const Kind* find_kind(std::string_view group, std::string_view name) {
  auto at = std::ranges::find_if(kKinds, [&](const Kind& k) { return k.group == group && k.name == name; });
  return at == std::end(kKinds) ? nullptr : at;
}

// A List is what remains of `kubectl get -o yaml` when its items are out.
bool is_list(const Field& root, std::string_view kind) {
  return kind.ends_with("List") && root.is(Value::Kind::map) && static_cast<bool>(root["items"]);
}

void read_known(const Kind& kind, const Field& root, Reading& reading, Objects* objects) {
  Meta meta = read_meta(std::string(kind.name), root, reading);
  if (!is_name(meta.name))
    return root["metadata"]["name"].error("is required and holds no spaces or slashes");
  if (!kind.namespaced)
    meta.ns.clear();
  else if (meta.ns.empty())
    meta.ns = "default";
  reading.subject = meta.subject();
  if (!is_name(meta.ns) && kind.namespaced)
    return root["metadata"]["namespace"].error("holds no spaces or slashes");
  if (kind.read == nullptr) return root.warn("is not supported yet and has no effect");
  kind.read(std::move(meta), root, objects);
}

}  // namespace

void read_object(Reading& reading, Objects* objects) {
  Field root(reading);
  if (!root.is(Value::Kind::map)) return root.error("a Kubernetes object is a map with apiVersion and kind");
  std::string kind = root["kind"].text();
  std::string api = root["apiVersion"].text();
  reading.subject = kind;
  if (is_list(root, kind)) return;
  if (kind == "ConfigMap" && api == "v1")
    return read_config_map(read_meta(kind, root, reading), root, reading, objects);
  if (kind == "MeshConfig" || (kind.empty() && api.empty() && root["rootNamespace"]))
    return read_mesh_config(read_meta("MeshConfig", root, reading), root, objects);
  if (kind.empty()) return root["kind"].error("is required");
  if (api.empty()) return root["apiVersion"].error("is required");
  const Kind* known = find_kind(group_of(api), kind);
  if (known == nullptr)
    return root.warn("kind " + kind + " of " + api + " is not one of the mesh's and is skipped");
  read_known(*known, root, reading, objects);
}

Labels read_label_selector(const Field& selector) {
  Labels labels = selector["matchLabels"].text_map();
  if (Field expressions = selector["matchExpressions"]; !expressions.each().empty()) {
    expressions.error("is not supported: use matchLabels");
    expressions.ignore();
  }
  return labels;
}

Selector read_match_labels(const Field& selector) {
  Selector out;
  out.labels = read_label_selector(selector);
  out.present = !out.labels.empty();
  return out;
}

std::string read_header_name(const Field& field) {
  std::string name = field.text();
  if (!http1::is_token(name)) field.error("must be a header name, not " + quoted(name));
  return to_lower(name);
}

Reference read_reference(const Field& field, const Meta& from) {
  Reference ref;
  ref.group = field["group"].text();
  ref.kind = field["kind"].text();
  ref.ns = field["namespace"].text(from.ns);
  ref.name = field.need_text("name");
  ref.port = field["port"].port().value_or(0);
  ref.section = field["sectionName"].text();
  ref.line = field.line();
  return ref;
}

}  // namespace ambientd::config::kubernetes
