// SPDX-License-Identifier: Apache-2.0
// One Kubernetes document into Objects. Of core kinds only what is needed is read; in the spec of mesh kinds
// an unknown field is an error that names it, a known but unsupported one an error in a policy and a warning
// elsewhere; unknown kinds are skipped with one warning.
#pragma once

#include "config/field.h"
#include "config/kubernetes/objects.h"

namespace ambientd::config::kubernetes {

// `document` is the root of one object (never of a List: its items come one by one). Appends to *objects what
// was understood; whatever is wrong goes to the document's problems.
void read_object(Reading& reading, Objects* objects);

// The readers of single kinds: they are given the object's metadata and its root.
void read_pod(Meta meta, const Field& root, Objects* out);
void read_service(Meta meta, const Field& root, Objects* out);
void read_endpoint_slice(Meta meta, const Field& root, Objects* out);
void read_workload_entry(Meta meta, const Field& root, Objects* out);
void read_service_entry(Meta meta, const Field& root, Objects* out);
void read_gateway_class(Meta meta, const Field& root, Objects* out);
void read_gateway(Meta meta, const Field& root, Objects* out);
void read_http_route(Meta meta, const Field& root, Objects* out);
void read_grpc_route(Meta meta, const Field& root, Objects* out);
void read_authorization_policy(Meta meta, const Field& root, Objects* out);
void read_request_authentication(Meta meta, const Field& root, Objects* out);
void read_peer_authentication(Meta meta, const Field& root, Objects* out);
void read_config_map(Meta meta, const Field& root, Reading& reading, Objects* out);
void read_mesh_config(Meta meta, const Field& mesh, Objects* out);

// Shared by several kinds.
std::string read_header_name(const Field& field);   // RFC 9110 §5.1; lower-cased
Selector read_match_labels(const Field& selector);  // {matchLabels: ...}
Labels read_label_selector(const Field& selector);  // the same, refusing matchExpressions
void read_targets(const Field& spec, const Meta& meta, Selector* selector,
                  std::vector<Reference>* targets);  // targetRefs or selector, of a policy
Reference read_reference(const Field& field,
                         const Meta& from);  // group, kind, namespace, name, port, sectionName
AppProtocol app_protocol(std::string_view transport, std::string_view app, std::string_view name,
                         uint16_t port);  // contract/waypoint.md §1.6

}  // namespace ambientd::config::kubernetes
