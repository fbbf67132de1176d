// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "config/loader.h"
#include "core/certificates.h"
#include "core/workers.h"
#include "l4/decide.h"
#include "l4/worker.h"
#include "test/bench/micro/micro.h"

namespace ambientd::bench {
namespace {

using nlohmann::json;

constexpr size_t kServices = 1000, kEach = 10;  // workloads behind a service

std::string address(size_t net, size_t i) {
  return fmt::format("10.{}.{}.{}", net + (i >> 16), i >> 8 & 255, i & 255);
}
std::string host(size_t service) { return fmt::format("service-{}.demo.svc.cluster.local", service); }

// As a ztunnel's local file has it, in YAML.
std::string local_yaml(size_t services) {
  std::string out = "workloads:\n";
  for (size_t i = 0; i < services * kEach; ++i)
    out += fmt::format(
        "- uid: Kubernetes//Pod/demo/pod-{}\n  name: pod-{}\n  namespace: demo\n  serviceAccount: "
        "account-{}\n"
        "  trustDomain: cluster.local\n  workloadIps: [\"{}\"]\n  protocol: HBONE\n  node: node-{}\n"
        "  canonicalName: app-{}\n  canonicalRevision: v1\n  workloadName: app-{}\n  workloadType: "
        "deployment\n"
        "  clusterId: Kubernetes\n  services:\n    \"demo/{}\":\n      80: 8080\n",
        i, i, i / kEach, address(16, i), i % 100, i / kEach, i / kEach, host(i / kEach));
  out += "services:\n";
  for (size_t i = 0; i < services; ++i)
    out += fmt::format(
        "- name: service-{}\n  namespace: demo\n  hostname: {}\n  vips: [\"/{}\"]\n  ports:\n    80: 8080\n",
        i, host(i), address(96, i));
  return out;
}

std::string local_json(size_t services) {
  json out{{"workloads", json::array()}, {"services", json::array()}};
  for (size_t i = 0; i < services * kEach; ++i) {
    std::string app = fmt::format("app-{}", i / kEach);
    out["workloads"].push_back({{"uid", fmt::format("Kubernetes//Pod/demo/pod-{}", i)},
                                {"name", fmt::format("pod-{}", i)},
                                {"namespace", "demo"},
                                {"serviceAccount", fmt::format("account-{}", i / kEach)},
                                {"trustDomain", "cluster.local"},
                                {"workloadIps", {address(16, i)}},
                                {"protocol", "HBONE"},
                                {"node", fmt::format("node-{}", i % 100)},
                                {"canonicalName", app},
                                {"canonicalRevision", "v1"},
                                {"workloadName", app},
                                {"workloadType", "deployment"},
                                {"clusterId", "Kubernetes"},
                                {"services", {{"demo/" + host(i / kEach), {{"80", 8080}}}}}});
  }
  for (size_t i = 0; i < services; ++i)
    out["services"].push_back({{"name", fmt::format("service-{}", i)},
                               {"namespace", "demo"},
                               {"hostname", host(i)},
                               {"vips", {"/" + address(96, i)}},
                               {"ports", {{"80", 8080}}}});
  return out.dump(2);
}

// As kubectl prints pods, in as much as matters and a part of what does not.
std::string kubernetes_yaml(size_t services) {
  std::string out;
  for (size_t i = 0; i < services; ++i)
    out += fmt::format(
        "---\napiVersion: v1\nkind: Service\nmetadata:\n  name: service-{}\n  namespace: demo\nspec:\n"
        "  clusterIP: {}\n  clusterIPs: [\"{}\"]\n  selector:\n    app: app-{}\n  ports:\n  - name: http\n"
        "    port: 80\n    targetPort: 8080\n",
        i, address(96, i), address(96, i), i);
  for (size_t i = 0; i < services * kEach; ++i)
    out += fmt::format(
        "---\napiVersion: v1\nkind: Pod\nmetadata:\n  annotations:\n    ambient.istio.io/redirection: "
        "enabled\n"
        "  creationTimestamp: \"2026-01-02T03:04:05Z\"\n  generateName: app-{}-5d8f\n  labels:\n    app: "
        "app-{}\n"
        "    pod-template-hash: 5d8f\n  name: pod-{}\n  namespace: demo\n  resourceVersion: \"{}\"\n"
        "  uid: 1b4e28ba-2fa1-11d2-883f-{:012}\nspec:\n  containers:\n  - image: registry.example/app:1.2.3\n"
        "    imagePullPolicy: IfNotPresent\n    name: app\n    ports:\n    - containerPort: 8080\n"
        "      protocol: TCP\n    resources:\n      limits:\n        memory: 128Mi\n"
        "    terminationMessagePath: /dev/termination-log\n    terminationMessagePolicy: File\n"
        "  dnsPolicy: ClusterFirst\n  nodeName: node-{}\n  restartPolicy: Always\n"
        "  serviceAccountName: account-{}\nstatus:\n  conditions:\n"
        "  - lastTransitionTime: \"2026-01-02T03:04:05Z\"\n    status: \"True\"\n    type: Ready\n  phase: "
        "Running\n"
        "  podIP: {}\n  podIPs:\n  - ip: {}\n",
        i / kEach, i / kEach, i, i, i, i % 100, i / kEach, address(16, i), address(16, i));
  return out;
}

config::Mesh loaded(const std::string& text, const char* name) {
  Result<config::Loaded> out = config::load_text(text, name);
  if (!out || out->mesh.workloads.size() < kEach) {
    fmt::print(stderr, "{}\n", out ? "nothing was loaded" : out.error().detail);
    std::abort();
  }
  return std::move(out->mesh);
}

// `within_ns`: of the goals for a mesh of this size.
void load(Bench& bench, const char* what, const char* name, const std::string& text, double within_ns) {
  bench.measure(
      {.name = fmt::format("config: {}, 10,000 pods", what), .bytes = text.size(), .within_ns = within_ns},
      [&](uint64_t n) {
        for (uint64_t i = 0; i < n; ++i) keep(loaded(text, name));
      });
}

class NoSigner final : public Signer {
 public:
  void sign(const Identity&, Done done) override { done(fail(Errc::identity, "nobody signs here")); }
  Result<bool> refresh() override { return false; }
};

// The workers of a proxy without a pod: what a change of the mesh costs until the last one has it.
struct Node {
  Workers workers{4};
  Certificates certificates{std::make_unique<NoSigner>()};
  metrics::Registry registry{5};
  l4::TrafficMetrics metrics{registry};
  l4::Settings settings;
  std::vector<std::unique_ptr<l4::Worker>> states;

  Node() {
    for (size_t i = 0; i < workers.size(); ++i)
      states.push_back(std::make_unique<l4::Worker>(workers.loop(i), settings, certificates, metrics, i + 1));
  }
  ~Node() {
    workers.each_and_wait([this](size_t i) { states[i].reset(); });
  }
  void publish(const config::Mesh& mesh) {
    config::SnapshotPtr snapshot = config::Snapshot::build(mesh);
    workers.each_and_wait([&](size_t i) { states[i]->take(snapshot); });
  }
};

void change(Bench& bench) {
  config::Mesh mesh = loaded(local_yaml(kServices), "mesh.yaml");
  Node node;
  bench.measure({.name = "config: a change of one of 10,000 pods", .within_ns = 50e6}, [&](uint64_t n) {
    for (uint64_t i = 0; i < n; ++i) {
      config::Health& status = mesh.workloads[i % mesh.workloads.size()].status;
      status = status == config::Health::healthy ? config::Health::unhealthy : config::Health::healthy;
      node.publish(mesh);
    }
  });
}

// A decision over a call to a service, from a mesh of that size.
void look_up(Bench& bench, size_t services) {
  config::SnapshotPtr snapshot = config::Snapshot::build(loaded(local_yaml(services), "mesh.yaml"));
  config::WorkloadPtr self = snapshot->workloads().front();
  std::vector<SockAddr> targets;
  for (size_t i = 0; i < 10; ++i) targets.push_back({*Ip::parse(address(96, i * services / 10)), 80});
  uint64_t random = 0;
  bench.measure({.name = fmt::format("l4: decide, {} workloads", services * kEach)}, [&](uint64_t n) {
    for (uint64_t i = 0; i < n; ++i) {
      l4::Call call{*self, self->addresses.front(), targets[i % targets.size()]};
      Result<l4::Decision> decision = l4::decide(*snapshot, {}, call, random += uint64_t{1} << 32);
      if (!decision || decision->protocol != l4::Decision::Protocol::hbone) std::abort();
      keep(decision);
    }
  });
}

}  // namespace

void configuration(Bench& bench) {
  std::string cluster = kubernetes_yaml(kServices);
  load(bench, "local YAML", "mesh.yaml", local_yaml(kServices), 1e9);
  load(bench, "local JSON", "mesh.json", local_json(kServices), 1e9);
  load(bench, "Kubernetes YAML", "cluster.yaml", cluster, static_cast<double>(cluster.size()) / 8e6 * 1e9);
  change(bench);
  look_up(bench, 10);
  look_up(bench, kServices);
}

}  // namespace ambientd::bench
