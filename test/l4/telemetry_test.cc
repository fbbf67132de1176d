// SPDX-License-Identifier: Apache-2.0
#include "l4/telemetry.h"

#include "l4/labels.h"

#include <fstream>
#include <regex>

#include "core/log.h"
#include "test/l4/mesh.h"
#include "test/support/catch.h"

using namespace ambientd;
using namespace ambientd::config;
using namespace ambientd::l4;
using ambientd::l4::test::service;

namespace {

// As in the recorded mesh of test/fixtures/istiod.
WorkloadPtr pod(const std::string& name, const std::string& revision) {
  Workload out = l4::test::workload(name, "");
  out.ns = "demo";
  out.workload_name = out.name;
  out.canonical_revision = revision;
  out.locality = {"r1", "r1z1", "s1"};
  return std::make_shared<Workload>(out);
}

ServicePtr direct() {
  Service out = service("direct", "10.88.0.30");
  out.ns = "demo";
  out.hostname = "direct.demo.svc.cluster.local";
  return std::make_shared<Service>(out);
}

Flow flow(Direction direction) {
  bool outbound = direction == Direction::outbound;
  return {.direction = direction,
          .source = pod("client", "v1"),
          .destination = pod("direct", "latest"),
          .baggage = {},
          .service = direct(),
          .source_identity = "spiffe://cluster.local/ns/demo/sa/client",
          .target_identity = "spiffe://cluster.local/ns/demo/sa/direct",
          .mutual_tls = true,
          .from = *SockAddr::parse(outbound ? "127.0.0.1:37210" : "10.77.0.10:47958"),
          .to = *SockAddr::parse("10.77.0.31:15008"),
          .authority = "10.77.0.31:8080"};
}

std::vector<std::string> recorded(const char* file) {
  std::ifstream in(std::string("test/fixtures/istiod/") + file);
  std::vector<std::string> out;
  for (std::string line; std::getline(in, line);) out.push_back(line);
  REQUIRE_FALSE(out.empty());
  return out;
}

// Without what differs from run to run.
std::string timeless(const std::string& line) {
  static const std::regex time("^[^\t]*Z\t"), duration("duration=\"[0-9]+ms\"");
  return std::regex_replace(std::regex_replace(line, time, ""), duration, "duration");
}

std::string timeless_json(const std::string& line) {
  static const std::regex time("\"time\":\"[^\"]*Z\""), duration("\"duration\":\"[0-9]+ms\"");
  return std::regex_replace(std::regex_replace(line, time, "\"time\":\"\""), duration, "\"duration\":\"\"");
}

struct World {
  metrics::Registry registry{2};
  TrafficMetrics metrics{registry};
  Telemetry telemetry{metrics, 1};
  std::vector<std::string> log;
  explicit World(log::Shape shape = log::Shape::plain) {
    log::redirect_to([this](std::string_view line) { log.emplace_back(line); }, shape);
  }
  ~World() { log::redirect_to(nullptr); }

  void report(Flow what, Relayed bytes, const Status& status) {
    Report report(telemetry, std::move(what));
    report.bytes = bytes;
    report.end(status);
  }
  std::string exposed() const { return registry.expose(metrics::Format::openmetrics); }
};

bool has(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

}  // namespace

TEST_CASE("access log lines are those a real ztunnel wrote for the same connections") {
  World world;
  world.report(flow(Direction::outbound), {74, 205}, {});
  world.report(flow(Direction::inbound), {74, 205}, {});
  Flow refused = flow(Direction::outbound);
  refused.service = nullptr;
  refused.from = *SockAddr::parse("127.0.0.1:54470");
  world.report(std::move(refused), {}, fail(Errc::http_status, "http status: 401 Unauthorized"));
  world.report(flow(Direction::inbound), {},
               fail(Errc::denied, "explicitly denied by: demo/direct-deny-l7-port"));
  std::vector<std::string> expected = recorded("ztunnel_access_log.txt");
  CHECK(timeless(world.log[0]) == timeless(expected[2]));
  CHECK(timeless(world.log[1]) == timeless(expected[6]));
  CHECK(timeless(world.log[2]) == timeless(expected[0]));
  CHECK(timeless(world.log[3]) == timeless(expected[4]));
}

TEST_CASE("metrics are those a real ztunnel exposed for the same connections") {
  World world;
  world.report(flow(Direction::inbound), {79, 205}, {});
  world.report(flow(Direction::inbound), {74, 205}, {});
  for (int i = 0; i < 2; ++i)
    world.report(flow(Direction::inbound), {}, fail(Errc::denied, "explicitly denied by: x"));
  std::string exposed = world.exposed();
  for (const std::string& line : recorded("ztunnel_metrics.txt")) {
    if (!line.starts_with("istio_tcp_") || line.starts_with("istio_tcp_sockets")) continue;
    INFO(line << "\n--- among\n" << exposed);
    CHECK(has(exposed, line + "\n"));
  }
}

TEST_CASE("bytes are counted while they flow, and only once") {
  World world;
  Report report(world.telemetry, flow(Direction::outbound));
  report.bytes = {10, 20};
  report.count();
  report.bytes = {15, 20};
  report.count();
  CHECK(has(world.exposed(), "destination_zone=\"r1z1\"} 15\n"));
  report.end({});
  CHECK(has(world.exposed(), "destination_zone=\"r1z1\"} 15\n"));
  CHECK(has(world.exposed(), "destination_zone=\"r1z1\"} 20\n"));
}

TEST_CASE("what is not known is unknown, and has no place") {
  Flow passed{.from = *SockAddr::parse("10.0.0.1:1"), .to = *SockAddr::parse("192.0.2.1:443")};
  std::string labels = traffic_labels(passed, "-").text();
  CHECK(has(labels, "source_workload=\"unknown\""));
  CHECK(has(labels, "destination_principal=\"unknown\""));
  CHECK(has(labels, "connection_security_policy=\"unknown\""));
  CHECK_FALSE(has(labels, "source_region"));
}

TEST_CASE("a source that only its baggage describes") {
  Flow far = flow(Direction::inbound);
  far.source = nullptr;
  far.baggage = hbone::Baggage::parse(
      "k8s.cluster.name=c2,k8s.namespace.name=far,k8s.deployment.name=shop,service.name=shop-svc,service."
      "version=v9,"
      "cloud.region=r9,cloud.availability_zone=z9");
  std::string labels = traffic_labels(far, "-").text();
  for (const char* part :
       {"source_workload=\"shop\"", "source_canonical_service=\"shop-svc\"", "source_app=\"shop\"",
        "source_version=\"v9\"", "source_cluster=\"c2\"", "source_region=\"r9\"",
        "source_principal=\"spiffe://cluster.local/ns/demo/sa/client\""}) {
    INFO(part);
    CHECK(has(labels, part));
  }
}

TEST_CASE("a plaintext connection shows no identities but the destination's principal") {
  World world;
  Flow plain = flow(Direction::inbound);
  plain.mutual_tls = false;
  plain.authority.clear();
  world.report(plain, {}, {});
  CHECK_FALSE(has(world.log[0], "identity"));
  CHECK_FALSE(has(world.log[0], "hbone_addr"));
  std::string labels = traffic_labels(plain, "-").text();
  CHECK(has(labels, "source_principal=\"unknown\""));
  CHECK(has(labels, "destination_principal=\"spiffe://cluster.local/ns/demo/sa/direct\""));
}

TEST_CASE("a connection refused early has one line and is counted as failed, never as opened") {
  World world;
  Flow known{.direction = Direction::inbound,
             .destination = pod("direct", "latest"),
             .from = *SockAddr::parse("10.0.0.1:1"),
             .to = *SockAddr::parse("10.0.0.2:15008")};
  report_refused(world.telemetry, known, {Errc::ip_mismatch, "ip mismatch: 10.0.0.2 != 10.0.0.3"});
  CHECK(timeless(world.log[0]) ==
        "warn\taccess\tconnection failed\tsrc.addr=10.0.0.1:1 dst.addr=10.0.0.2:15008 direction=\"inbound\" "
        "error=\"ip mismatch: 10.0.0.2 != 10.0.0.3\"");
  CHECK(world.log.size() == 1);
  CHECK(has(world.exposed(),
            "istio_tcp_connections_failed_total{" + traffic_labels(known, "CONNECT").text() + "} 1\n"));
  for (const char* family : {"opened", "closed"})
    CHECK_FALSE(has(world.exposed(), std::string("istio_tcp_connections_") + family));
}

TEST_CASE("the same line in JSON has the same fields in the same order") {
  World world(log::Shape::json);
  world.report(flow(Direction::outbound), {74, 205}, {});
  world.report(flow(Direction::inbound), {}, fail(Errc::denied, "explicitly denied by: demo/no"));
  const std::string same =
      R"("src.workload":"client-0","src.namespace":"demo","src.identity":"spiffe://cluster.local/ns/demo/sa/client",)"
      R"("src.cluster":"Kubernetes","dst.addr":"10.77.0.31:15008","dst.hbone_addr":"10.77.0.31:8080",)"
      R"("dst.service":"direct.demo.svc.cluster.local","dst.workload":"direct-0","dst.namespace":"demo",)"
      R"("dst.identity":"spiffe://cluster.local/ns/demo/sa/direct","dst.cluster":"Kubernetes",)";
  REQUIRE(world.log.size() == 2);
  CHECK(timeless_json(world.log[0]) ==
        R"({"level":"info","time":"","scope":"access","message":"connection complete",)"
        R"("src.addr":"127.0.0.1:37210",)" +
            same + R"("direction":"outbound","bytes_sent":74,"bytes_recv":205,"duration":""})");
  CHECK(timeless_json(world.log[1]) ==
        R"({"level":"error","time":"","scope":"access","message":"connection complete",)"
        R"("src.addr":"10.77.0.10:47958",)" +
            same +
            R"("direction":"inbound","bytes_sent":0,"bytes_recv":0,"duration":"",)"
            R"("error":"connection closed due to policy rejection: explicitly denied by: demo/no"})");
}

TEST_CASE("the level of a pod decides about the lines of its own connections") {
  World world;
  log::Filter filter;
  filter.add_pod("demo/client-0", log::Level::debug);
  filter.add_pod("demo/direct-0", log::Level::error);
  log::set_filter(filter);
  world.report(flow(Direction::outbound), {}, {});
  REQUIRE(world.log.size() == 2);
  CHECK(has(world.log[0], "\tdebug\taccess\tconnection opened\tsrc.addr=127.0.0.1:37210 "));
  CHECK(world.log[0].ends_with("direction=\"outbound\""));
  world.report(flow(Direction::inbound), {}, {});
  CHECK(world.log.size() == 2);
  world.report(flow(Direction::inbound), {}, fail(Errc::denied, "x"));
  CHECK(world.log.size() == 3);
  log::set_filter({});
}
