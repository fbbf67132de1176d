// SPDX-License-Identifier: Apache-2.0
// MeshConfig: a document of its own, or text inside ConfigMap `istio` (data.mesh).
#include <sstream>

#include "config/kubernetes/read.h"

namespace ambientd::config::kubernetes {
namespace {

std::optional<std::string> text_of(const Field& field) {
  return field ? std::optional(field.text()) : std::nullopt;
}

}  // namespace

void read_mesh_config(Meta meta, const Field& mesh, Objects* out) {
  MeshConfig config;
  config.root_namespace = text_of(mesh["rootNamespace"]);
  config.trust_domain = text_of(mesh["trustDomain"]);
  config.access_log_file = text_of(mesh["accessLogFile"]);
  for (std::string_view narrowing : {"discoverySelectors", "serviceEntryVisibility"})
    if (Field field = mesh[narrowing]) field.warn("is not supported yet: every namespace is seen");
  config.meta = std::move(meta);
  out->mesh_configs.push_back(std::move(config));
}

void read_config_map(Meta meta, const Field& root, Reading& reading, Objects* out) {
  if (meta.name != "istio") return;  // any other ConfigMap is none of the mesh's business
  Field mesh = root["data"]["mesh"];
  if (!mesh) return;
  reading.subject = meta.subject();
  std::istringstream text(mesh.text());
  auto read = [&](const Document& document) {
    Reading inner{document.root, reading.file, "data.mesh", reading.subject, reading.problems};
    read_mesh_config(meta, Field(inner), out);
  };
  std::expected<void, Fault> end = read_documents(text, Format::yaml, read);
  if (!end) mesh.error("line " + std::to_string(end.error().line) + " of it: " + end.error().message);
}

}  // namespace ambientd::config::kubernetes
