// SPDX-License-Identifier: Apache-2.0
#include "l4/dump.h"

#include <filesystem>
#include <fstream>

#include <nlohmann/json.hpp>

#include "config/loader.h"
#include "test/l4/mesh.h"
#include "test/support/catch.h"
#include "test/support/mint.h"

using namespace ambientd;
using namespace ambientd::l4;
using nlohmann::json;

namespace {

constexpr const char* kDir = "test/fixtures/istiod/";

json recorded() {
  std::ifstream in(std::string(kDir) + "ztunnel_config_dump.json");
  REQUIRE(in);
  return json::parse(in);
}

json dump_of(const config::Snapshot* snapshot, std::vector<PodView> pods = {},
             std::vector<Certificates::Listed> certificates = {}, const Options& options = {}) {
  return json::parse(config_dump(snapshot, certificates, pods, options));
}

// Order within a list of names says nothing.
json sorted(json list) {
  std::sort(list.begin(), list.end());
  return list;
}

const json* find(const json& list, const char* key, const json& value) {
  for (const json& each : list)
    if (each.at(key) == value) return &each;
  return nullptr;
}

std::vector<std::string> keys_of(const json& object) {
  std::vector<std::string> out;
  for (const auto& [key, value] : object.items()) out.push_back(key);
  return out;
}

config::SnapshotPtr recorded_mesh() {
  std::filesystem::path files[] = {std::string(kDir) + "00-base.yaml",
                                   std::string(kDir) + "10-workloads.yaml",
                                   std::string(kDir) + "20-waypoint.yaml"};
  Result<config::Loaded> loaded = config::load(files);
  INFO((loaded ? "" : loaded.error().detail));
  REQUIRE(loaded);
  return config::Snapshot::build(std::move(loaded->mesh));
}

}  // namespace

TEST_CASE("workloads, services and policies are printed as a real ztunnel printed the same mesh") {
  config::SnapshotPtr mesh = recorded_mesh();
  json ours = dump_of(mesh.get()), theirs = recorded();
  for (const json& each : theirs["workloads"]) {
    const json* found = find(ours["workloads"], "uid", each["uid"]);
    INFO(each.dump(1));
    REQUIRE(found);
    json a = *found, b = each;
    for (const char* list : {"services", "authorizationPolicies"}) {
      if (a.contains(list)) a[list] = sorted(a[list]);
      if (b.contains(list)) b[list] = sorted(b[list]);
    }
    // A ServiceEntry's inline endpoint is no pod: we give it neither a default identity nor a pod's policies.
    if (b["uid"].get<std::string>().find("/ServiceEntry/") != std::string::npos)
      for (const char* key : {"serviceAccount", "authorizationPolicies"}) b.erase(key);
    CHECK(a == b);
  }
  for (const json& each : theirs["services"]) {
    const json* found = find(ours["services"], "hostname", each["hostname"]);
    INFO(each.dump(1));
    REQUIRE(found);
    CHECK(*found == each);
  }
  for (const json& each : theirs["policies"]) {
    const json* found = find(ours["policies"], "name", each["name"]);
    INFO(each.dump(1));
    REQUIRE(found);
    CHECK(*found == each);
  }
}

TEST_CASE("the document has the keys that tools read, before anything is known") {
  json out = dump_of(nullptr);
  for (const json& key : {"certificates", "config", "policies", "services", "stagedServices", "staticConfig",
                          "version", "workloads"})
    CHECK(out.contains(key.get<std::string>()));
  CHECK(out["workloads"] == json::array());
  CHECK(out["config"]["inboundAddr"] == "[::]:15008");
  CHECK(out["config"]["packetMark"] == 1337);
}

TEST_CASE("connections are listed under their pod") {
  ConnectionView out{Direction::outbound,
                     *SockAddr::parse("10.0.0.1:40000"),
                     *SockAddr::parse("10.1.0.2:80"),
                     *SockAddr::parse("10.0.0.2:15008"),
                     "",
                     true};
  ConnectionView in{Direction::inbound,
                    *SockAddr::parse("10.0.0.9:40001"),
                    *SockAddr::parse("10.0.0.1:8080"),
                    *SockAddr::parse("10.0.0.1:15008"),
                    "echo.default.svc.cluster.local",
                    true};
  ConnectionView plain{Direction::inbound,
                       *SockAddr::parse("10.0.0.9:40001"),
                       *SockAddr::parse("10.0.0.1:8080"),
                       *SockAddr::parse("10.0.0.1:8080"),
                       "",
                       false};
  json state = dump_of(nullptr, {{{"default", "client-0", "client", ""}, "uid-1", {out, in, plain}},
                                 {{"default", "late-0", "late", ""}, "", {}}})["workloadState"];
  CHECK(state["uid-1"]["state"] == "Up");
  CHECK(state["uid-1"]["info"] ==
        json{{"name", "client-0"}, {"namespace", "default"}, {"serviceAccount", "client"}});
  CHECK(state["uid-1"]["connections"]["outbound"] == json::array({{{"src", "10.0.0.1:40000"},
                                                                   {"originalDst", "10.1.0.2:80"},
                                                                   {"actualDst", "10.0.0.2:15008"},
                                                                   {"protocol", "HBONE"}}}));
  CHECK(state["uid-1"]["connections"]["inbound"][0]["originalDst"] == "echo.default.svc.cluster.local");
  CHECK(state["uid-1"]["connections"]["inbound"][0]["actualDst"] == "10.0.0.1:8080");
  CHECK(state["uid-1"]["connections"]["inbound"][1]["originalDst"].is_null());
  CHECK(state["uid-1"]["connections"]["inbound"][1]["protocol"] == "TCP");
  CHECK(state["default/late-0"]["state"] == "Pending");
}

TEST_CASE("certificates are printed with their state, chain and roots") {
  LocalCa ca = ambientd::test::new_root();
  Identity identity = ambientd::test::workload("echo");
  Result<Issued> issued = ca.issue(identity, std::chrono::hours(1), std::chrono::system_clock::now());
  REQUIRE(issued);
  Result<WorkloadCertificatePtr> made = make_workload_certificate(identity, *issued);
  REQUIRE(made);
  json list = dump_of(nullptr, {},
                      {{identity, "Available", *made},
                       {ambientd::test::workload("x"), "Initializing", nullptr}})["certificates"];
  CHECK(list[0]["identity"] == "spiffe://cluster.local/ns/default/sa/echo");
  CHECK(list[0]["state"] == "Available");
  CHECK(list[0]["certChain"][0]["serialNumber"] == (*made)->chain[0].serial);
  CHECK(list[0]["certChain"][0]["validFrom"].get<std::string>().size() ==
        std::string("2026-01-02T00:00:00Z").size());
  CHECK(list[0]["rootCerts"].size() == 1);
  CHECK(list[1]["certChain"] == json::array());
}

TEST_CASE("the document has a real ztunnel's sections and names, in its order, each of its kind") {
  config::SnapshotPtr mesh = recorded_mesh();
  Options options;
  options.workload = WorkloadName{"demo", "client-0", "client"};
  options.node = "node1";
  options.original_source = false;
  json ours = dump_of(mesh.get(), {}, {}, options), theirs = recorded();
  REQUIRE(keys_of(ours) == keys_of(theirs));
  CHECK(keys_of(ours["config"]) == keys_of(theirs["config"]));
  CHECK(keys_of(ours["version"]) == keys_of(theirs["version"]));
  CHECK(keys_of(ours["staticConfig"]) == keys_of(theirs["staticConfig"]));
  for (const auto& [key, value] : theirs["config"].items()) {
    INFO(key << ": " << ours["config"][key] << " where it was " << value);
    bool absent = ours["config"][key].is_null() || value.is_null();
    absent = absent || ours["config"][key] == "Default";  // of roots: the name for no file
    CHECK((absent || ours["config"][key].type_name() == std::string(value.type_name())));
  }
  // What both were told the same about, or have the same default for.
  for (const char* key : {"adminAddr",
                          "clusterDomain",
                          "clusterId",
                          "connectionWindowSize",
                          "frameSize",
                          "inboundAddr",
                          "inboundPlaintextAddr",
                          "outboundAddr",
                          "readinessAddr",
                          "statsAddr",
                          "localNode",
                          "network",
                          "numWorkerThreads",
                          "poolMaxStreamsPerConn",
                          "poolUnusedReleaseTimeout",
                          "proxyMode",
                          "proxyWorkloadInformation",
                          "secretTtl",
                          "selfTerminationDeadline",
                          "socketConfig",
                          "windowSize",
                          "requireOriginalSource",
                          "ipv6Enabled",
                          "enableEnhancedBaggage"}) {
    INFO(key);
    CHECK(ours["config"][key] == theirs["config"][key]);
  }
}

TEST_CASE("the lists come in a real ztunnel's order") {
  config::SnapshotPtr mesh = recorded_mesh();
  json ours = dump_of(mesh.get()), theirs = recorded();
  auto among = [](const json& list, const json& known, const char* key) {
    std::vector<std::string> out;
    for (const json& each : list)
      if (find(known, key, each.at(key))) out.push_back(each.at(key));
    return out;
  };
  for (auto [list, key] : {std::pair{"workloads", "uid"}, {"services", "hostname"}, {"policies", "name"}}) {
    INFO(list);
    CHECK(among(ours[list], theirs[list], key) == among(theirs[list], theirs[list], key));
  }
}

TEST_CASE("ztunnel's own YAML is shown as it says now, and a broken one says why") {
  Options options;
  options.local_xds = R"(
workloads: [{uid: a, workloadIps: [10.0.0.1], namespace: default, services: {default/s: {80: 8080}}}]
services: [{name: s, namespace: default, hostname: s, vips: [/10.1.0.1], ports: {80: 8080}}]
policies: [])";
  json shown = dump_of(nullptr, {}, {}, options)["staticConfig"];
  CHECK(shown["workloads"][0]["uid"] == "a");
  CHECK(shown["workloads"][0]["services"] == json{{"default/s", {{"80", 8080}}}});
  CHECK(shown["services"][0]["hostname"] == "s");
  CHECK(shown["policies"] == json::array());
  options.local_xds = "";
  options.local_xds_path = "/nowhere/local.yaml";
  shown = dump_of(nullptr, {}, {}, options)["staticConfig"];
  CHECK(shown["workloads"] == json::array());
  CHECK(shown["error"].get<std::string>().find("/nowhere/local.yaml") != std::string::npos);
}
