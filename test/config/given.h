// SPDX-License-Identifier: Apache-2.0
// Short words for tests of configuration text: what it loads to, and what is said about it.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

#include "config/loader.h"
#include "test/support/catch.h"

namespace ambientd::config {

inline Mesh mesh_of(std::string_view text, std::string_view name = "x.yaml") {
  Result<Loaded> loaded = load_text(text, name);
  INFO((loaded ? "" : loaded.error().detail));
  REQUIRE(loaded);
  return std::move(loaded->mesh);
}

inline SnapshotPtr snapshot_of(std::string_view text) { return Snapshot::build(mesh_of(text)); }

// All problems of one severity, one a line.
inline std::string problems_of(std::string_view text, Severity severity, std::string_view name = "x.yaml") {
  std::string out;
  for (const Problem& problem : check_text(text, name))
    if (problem.severity == severity) out += (out.empty() ? "" : "\n") + problem.str();
  return out;
}

inline std::string errors_of(std::string_view text, std::string_view name = "x.yaml") {
  return problems_of(text, Severity::error, name);
}

inline std::string warnings_of(std::string_view text) { return problems_of(text, Severity::warning); }

// Objects in one line each, as tests write them.
inline std::string ns(std::string_view name, std::string_view labels = "") {
  return fmt::format("---\n{{apiVersion: v1, kind: Namespace, metadata: {{name: {}, labels: {{{}}}}}}}\n",
                     name, labels);
}

inline std::string pod(std::string_view ns, std::string_view name, std::string_view ip,
                       std::string_view labels) {
  return fmt::format(
      "---\n{{apiVersion: v1, kind: Pod, metadata: {{name: {}, namespace: {}, labels: {{{}}}, annotations: "
      "{{ambient.istio.io/redirection: enabled}}}}, spec: {{serviceAccountName: sa}}, status: {{podIP: "
      "{}}}}}\n",
      name, ns, labels, ip);
}

inline std::string service(std::string_view ns, std::string_view name, std::string_view ip,
                           std::string_view labels = "", std::string_view ports = "{port: 80, name: http}") {
  return fmt::format(
      "---\n{{apiVersion: v1, kind: Service, metadata: {{name: {}, namespace: {}, labels: {{{}}}}}, spec: "
      "{{clusterIP: "
      "{}, selector: {{app: {}}}, ports: [{}]}}}}\n",
      name, ns, labels, ip, name, ports);
}

inline std::string waypoint(std::string_view ns, std::string_view name, std::string_view meta = "",
                            std::string_view listener = "") {
  return fmt::format(
      "---\n{{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {{name: {}, namespace: "
      "{}{}}}, spec: "
      "{{gatewayClassName: istio-waypoint, listeners: [{{name: mesh, port: 15008, protocol: HBONE{}}}]}}}}\n",
      name, ns, meta, listener);
}

}  // namespace ambientd::config
