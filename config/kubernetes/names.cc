// SPDX-License-Identifier: Apache-2.0
// What a workload is called and how it is reached (contract/kubernetes.md §1).
#include <fmt/format.h>

#include <algorithm>

#include "config/kubernetes/derive.h"
#include "core/text.h"

namespace ambientd::config::kubernetes {
namespace {

bool trim_suffix(std::string& name, const std::string* hash) {
  if (hash == nullptr || !name.ends_with("-" + *hash)) return false;
  name.resize(name.size() - hash->size() - 1);
  return true;
}

// A CronJob's jobs are called `<cronjob>-<8 to 10 digits>`.
void trim_job_time(std::string& name) {
  size_t dash = name.rfind('-');
  if (dash == name.npos || dash == 0) return;
  std::string_view digits = std::string_view(name).substr(dash + 1);
  if (digits.size() >= 8 && digits.size() <= 10 && parse_uint(digits)) name.resize(dash);
}

std::string owner_name(const Owner& owner, const Labels& labels) {
  std::string name = owner.name;
  if (owner.kind == "ReplicaSet") {
    if (!trim_suffix(name, lookup(labels, "pod-template-hash")))
      trim_suffix(name, lookup(labels, "rollouts-pod-template-hash"));
  } else if (owner.kind == "ReplicationController") {
    if (const std::string* config = lookup(labels, "deploymentconfig")) name = *config;
  } else if (owner.kind == "Job") {
    trim_job_time(name);
  }
  return name;
}

std::string first_of(const Labels& labels, std::initializer_list<std::string_view> keys,
                     std::string_view fallback) {
  for (std::string_view key : keys)
    if (const std::string* value = lookup(labels, key)) return *value;
  return std::string(fallback);
}

}  // namespace

const std::string* lookup(const Labels& labels, std::string_view key) {
  auto at = labels.find(std::string(key));
  return at == labels.end() ? nullptr : &at->second;
}

std::string lookup_or(const Labels& labels, std::string_view key, std::string_view fallback) {
  const std::string* value = lookup(labels, key);
  return value ? *value : std::string(fallback);
}

bool subset(const Labels& wanted, const Labels& of) {
  return std::ranges::all_of(wanted, [&](const auto& pair) {
    auto at = of.find(pair.first);
    return at != of.end() && at->second == pair.second;
  });
}

std::string workload_name(const Pod& pod) {
  if (const std::string* name = lookup(pod.meta.labels, "service.istio.io/workload-name")) return *name;
  if (pod.meta.generate_name.empty() || !pod.meta.controller) return pod.meta.name;
  return owner_name(*pod.meta.controller, pod.meta.labels);
}

void set_canonical(const Labels& labels, Workload* workload) {
  workload->canonical_name = first_of(
      labels, {"service.istio.io/canonical-name", "app.kubernetes.io/name", "app"}, workload->workload_name);
  workload->canonical_revision = first_of(
      labels, {"service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"}, "latest");
}

void set_tunnel(const Meta& meta, const Labels& labels, Workload* workload) {
  const std::string* redirection = lookup(meta.annotations, "ambient.istio.io/redirection");
  if (redirection != nullptr && *redirection == "enabled") workload->protocol = Tunnel::hbone;
  std::string tunnels = lookup_or(labels, "networking.istio.io/tunnel", "");
  std::vector<std::string_view> kinds = split(tunnels, ',');
  if (std::ranges::find(kinds, "http") == kinds.end()) return;
  workload->protocol = Tunnel::hbone;
  workload->native_tunnel = true;
}

std::string service_hostname(std::string_view name, std::string_view ns) {
  return fmt::format("{}.{}.svc.{}", name, ns, kDomain);
}

}  // namespace ambientd::config::kubernetes
