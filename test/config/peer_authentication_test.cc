// SPDX-License-Identifier: Apache-2.0
// Every combination of mesh, namespace, workload and port mode, judged by the policies that come out of it.
#include "policy/authorization.h"
#include "test/config/given.h"

namespace ambientd::config {
namespace {

enum class Mode { absent, unset, disable, permissive, strict };
constexpr Mode kModes[] = {Mode::absent, Mode::unset, Mode::disable, Mode::permissive, Mode::strict};
constexpr const char* kNames[] = {"", "UNSET", "DISABLE", "PERMISSIVE", "STRICT"};

std::string_view name(Mode mode) { return kNames[static_cast<size_t>(mode)]; }

std::string peer_authentication(std::string_view ns, std::string_view pa, std::string_view selector,
                                Mode mode, std::string_view ports = "") {
  if (mode == Mode::absent) return "";
  return fmt::format(
      "---\n{{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {{name: {}, namespace: "
      "{}}}, spec: "
      "{{{}mtls: {{mode: {}}}{}}}}}\n",
      pa, ns, selector, name(mode), ports);
}

// The rule itself, in its shortest form: the nearest mode that is set.
bool strict(std::initializer_list<Mode> from_near_to_far) {
  for (Mode mode : from_near_to_far)
    if (mode != Mode::absent && mode != Mode::unset) return mode == Mode::strict;
  return false;
}

bool takes_plaintext(const Snapshot& snapshot, const Workload& workload, uint16_t port) {
  std::vector<std::string> unknown;
  std::vector<AuthorizationPtr> policies = snapshot.policies_for(workload, &unknown);
  CHECK(unknown.empty());
  policy::Peer peer;
  peer.source = Ip::v4(10, 0, 0, 9);
  peer.destination = {workload.addresses.at(0), port};
  return policy::judge(policies, unknown, peer).allow;
}

bool takes_identity(const Snapshot& snapshot, const Workload& workload, uint16_t port) {
  policy::Peer peer;
  peer.identity = Identity{"cluster.local", "a", "sa"};
  peer.source = Ip::v4(10, 0, 0, 9);
  peer.destination = {workload.addresses.at(0), port};
  return policy::judge(snapshot.policies_for(workload, nullptr), {}, peer).allow;
}

}  // namespace

TEST_CASE("plaintext is refused exactly where the nearest mode that is set is STRICT") {
  for (Mode mesh : kModes)
    for (Mode ns_mode : kModes)
      for (Mode workload : kModes)
        for (Mode port : kModes) {
          if (workload == Mode::absent && port != Mode::absent) continue;
          std::string ports =
              port == Mode::absent ? "" : fmt::format(", portLevelMtls: {{9000: {{mode: {}}}}}", name(port));
          std::string text =
              pod("demo", "a", "10.0.0.1", "app: a") + peer_authentication("istio-system", "mesh", "", mesh) +
              peer_authentication("demo", "ns", "", ns_mode) +
              peer_authentication("demo", "w", "selector: {matchLabels: {app: a}}, ", workload, ports);
          INFO(text);
          SnapshotPtr snapshot = snapshot_of(text);
          WorkloadPtr pod_a = snapshot->workload_by_uid("Kubernetes//Pod/demo/a");
          CHECK(takes_plaintext(*snapshot, *pod_a, 8080) == !strict({workload, ns_mode, mesh}));
          CHECK(takes_plaintext(*snapshot, *pod_a, 9000) == !strict({port, workload, ns_mode, mesh}));
          CHECK(takes_identity(*snapshot, *pod_a, 8080));
          CHECK(takes_identity(*snapshot, *pod_a, 9000));
        }
}

TEST_CASE("of two PeerAuthentications on one level the older counts") {
  auto dated = [](std::string_view name, std::string_view created, std::string_view mode) {
    return fmt::format(
        "---\n{{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {{name: {}, namespace: "
        "demo, "
        "creationTimestamp: '{}'}}, spec: {{mtls: {{mode: {}}}}}}}\n",
        name, created, mode);
  };
  SnapshotPtr snapshot =
      snapshot_of(pod("demo", "a", "10.0.0.1", "app: a") + dated("a", "2024-02-01T00:00:00Z", "PERMISSIVE") +
                  dated("b", "2024-01-01T00:00:00Z", "STRICT"));
  CHECK_FALSE(takes_plaintext(*snapshot, *snapshot->workload_by_uid("Kubernetes//Pod/demo/a"), 80));
}

TEST_CASE("a workload of the root namespace follows the mesh and ignores selectors") {
  std::string text =
      pod("istio-system", "a", "10.0.0.1", "app: a") +
      peer_authentication("istio-system", "mesh", "", Mode::strict) +
      peer_authentication("istio-system", "w", "selector: {matchLabels: {app: a}}, ", Mode::disable);
  SnapshotPtr snapshot = snapshot_of(text);
  CHECK_FALSE(takes_plaintext(*snapshot, *snapshot->workload_by_uid("Kubernetes//Pod/istio-system/a"), 80));
  CHECK_THAT(warnings_of(text), Catch::Contains("in the root namespace a selector is not looked at"));
}

TEST_CASE("a port exception is one policy of the workload's own and no other") {
  SnapshotPtr snapshot =
      snapshot_of(pod("demo", "a", "10.0.0.1", "app: a") + pod("demo", "b", "10.0.0.2", "app: b") +
                  peer_authentication("demo", "w", "selector: {matchLabels: {app: a}}, ", Mode::permissive,
                                      ", portLevelMtls: {9000: {mode: STRICT}, 9001: {mode: STRICT}}"));
  WorkloadPtr a = snapshot->workload_by_uid("Kubernetes//Pod/demo/a");
  CHECK(a->authorization_policies == std::vector<std::string>{"demo/converted_peer_authentication_w"});
  CHECK(snapshot->workload_by_uid("Kubernetes//Pod/demo/b")->authorization_policies.empty());
  CHECK_FALSE(takes_plaintext(*snapshot, *a, 9001));
  CHECK(takes_plaintext(*snapshot, *a, 9002));
}

}  // namespace ambientd::config
