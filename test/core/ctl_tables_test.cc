// SPDX-License-Identifier: Apache-2.0
#include "core/ctl_tables.h"

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "test/support/catch.h"

using namespace ambientd;
using nlohmann::json;

namespace {

std::string recorded(const std::string& file) {
  std::ifstream in("test/fixtures/istiod/" + file);
  REQUIRE(in);
  return {std::istreambuf_iterator<char>(in), {}};
}

json dump() { return json::parse(recorded("ztunnel_config_dump.json")); }

// While the recorded certificate was valid: 2026-11-22T21:00:00Z.
const ctl::View kThen{.ns = "", .raw = false, .now = std::chrono::system_clock::from_time_t(1795381200)};

std::string of(const json& from, std::string_view section, const ctl::View& view = kThen) {
  Result<std::string> out = ctl::table(from, section, view);
  INFO((out ? "" : out.error().detail));
  REQUIRE(out);
  return *out;
}

constexpr const char* kSections[] = {"workloads", "services", "policies", "certificates", "connections"};

}  // namespace

TEST_CASE("tables are those istioctl made of the same dump, byte for byte") {
  std::string all;
  for (const char* section : kSections) all += "\n" + of(dump(), section);
  CHECK(all == recorded("istioctl_ztunnel_config_all.txt"));
}

TEST_CASE("a table may be of one namespace") {
  ctl::View plain = kThen;
  plain.ns = "plain";
  CHECK(of(dump(), "workloads", plain) ==
        "NAMESPACE POD NAME ADDRESS    NODE  WAYPOINT PROTOCOL\n"
        "plain     legacy-0 10.77.0.50 node2 None     TCP\n");
  CHECK(of(dump(), "certificates", plain).find("spiffe") == std::string::npos);
  CHECK(ctl::records(dump(), "services", plain)->size() == 1);
  CHECK(ctl::records(dump(), "services", kThen)->size() == 11);
}

TEST_CASE("connections are named by service and pod, or not") {
  json with = dump();
  with["workloadState"]["uid"] = json::parse(R"({"state": "Up",
    "info": {"name": "client-0", "namespace": "demo", "serviceAccount": "client"},
    "connections": {
      "inbound": [{"src": "10.77.0.31:4000", "originalDst": null, "actualDst": "10.77.0.10:80", "protocol": "TCP"}],
      "outbound": [{"src": "10.77.0.10:5000", "originalDst": "10.88.0.30:80", "actualDst": "192.0.2.1:15008",
                    "protocol": "HBONE"}]}})");
  CHECK(of(with, "connections") ==
        "WORKLOAD      DIRECTION LOCAL              REMOTE             REMOTE TARGET                    "
        "PROTOCOL\n"
        "client-0.demo Inbound   client-0.demo:80   direct-0.demo:4000                                  TCP\n"
        "client-0.demo Outbound  client-0.demo:5000 192.0.2.1:15008    direct.demo.svc.cluster.local:80 "
        "HBONE\n");
  ctl::View raw = kThen;
  raw.raw = true;
  CHECK(of(with, "connections", raw).find("10.77.0.10:5000 192.0.2.1:15008 10.88.0.30:80 HBONE") !=
        std::string::npos);
}

TEST_CASE("certificates that are not there, or not yet valid, say so") {
  json some = json::parse(R"({"workloads": [], "certificates": [
    {"identity": "spiffe://a/ns/b/sa/c", "state": "Unavailable: no CA", "certChain": [], "rootCerts": []},
    {"identity": "spiffe://a/ns/b/sa/d", "state": "Available", "rootCerts": [], "certChain": [
      {"serialNumber": "255", "validFrom": "2027-01-01T00:00:00Z", "expirationTime": "2028-01-01T00:00:00Z"},
      {"serialNumber": "x", "validFrom": "soon", "expirationTime": ""}]}]})");
  std::string table = of(some, "certificates");
  CHECK(table.find("spiffe://a/ns/b/sa/c     NA               Unavailable     false          NA") !=
        std::string::npos);
  CHECK(table.find("Leaf             Available       false          ff ") != std::string::npos);
  CHECK(table.find("Intermediate     Available       false          NA ") != std::string::npos);
}

TEST_CASE("what is no dump is an error and no crash") {
  for (const char* bad : {"[]", "{}", "7", "{\"workloads\": [7]}", "{\"workloads\": [{\"name\": 7}]}",
                          "{\"workloads\": [{\"workloadIps\": [7]}]}"}) {
    INFO(bad);
    Result<std::string> out = ctl::table(json::parse(bad), "workloads", kThen);
    REQUIRE_FALSE(out);
    CHECK(out.error().detail.starts_with("this is no configuration dump"));
  }
  json odd = json::parse(R"({"workloads": [], "services": [{"vips": [null], "endpoints": 3}],
    "workloadState": {"u": {"connections": [], "info": "x"}}})");
  for (const char* section : kSections) (void)ctl::table(odd, section, kThen);
}
