// SPDX-License-Identifier: Apache-2.0
#include "core/metrics.h"

#include <fstream>
#include <set>
#include <sstream>
#include <thread>

#include "test/support/catch.h"

using namespace ambientd::metrics;
using namespace std::chrono_literals;

namespace {

const std::chrono::steady_clock::time_point kStart{1h};

std::string openmetrics(const Registry& registry) { return registry.expose(Format::openmetrics); }

std::string escaped(std::string_view value) { return Labels({{"a", value}}).text(); }

constexpr Labels::Pair kTraffic[] = {{"reporter", "destination"},
                                     {"source_workload", "client-0"},
                                     {"source_canonical_service", "client"},
                                     {"source_canonical_revision", "v1"},
                                     {"source_workload_namespace", "demo"},
                                     {"source_principal", "spiffe://cluster.local/ns/demo/sa/client"},
                                     {"source_app", "client"},
                                     {"source_version", "v1"},
                                     {"source_cluster", "Kubernetes"},
                                     {"destination_service", "direct.demo.svc.cluster.local"},
                                     {"destination_service_namespace", "demo"},
                                     {"destination_service_name", "direct"},
                                     {"destination_workload", "direct-0"},
                                     {"destination_canonical_service", "direct"},
                                     {"destination_canonical_revision", "latest"},
                                     {"destination_workload_namespace", "demo"},
                                     {"destination_principal", "spiffe://cluster.local/ns/demo/sa/direct"},
                                     {"destination_app", "direct"},
                                     {"destination_version", "latest"},
                                     {"destination_cluster", "Kubernetes"},
                                     {"request_protocol", "tcp"},
                                     {"response_flags", "-"},
                                     {"connection_security_policy", "mutual_tls"},
                                     {"source_region", "r1"},
                                     {"source_zone", "r1z1"},
                                     {"destination_region", "r1"},
                                     {"destination_zone", "r1z1"}};

}  // namespace

TEST_CASE("counters of all workers are added up") {
  Registry registry(3);
  Counters& opened = registry.counters({.name = "opened", .help = "Opened."});
  Counter one = opened.with(0, {{"r", "source"}}), two = opened.with(2, {{"r", "source"}});
  one.add();
  two.add(41);
  opened.with(1, {{"r", "destination"}}).add(7);
  CHECK(openmetrics(registry) ==
        "# HELP opened Opened.\n# TYPE opened counter\nopened_total{r=\"destination\"} "
        "7\nopened_total{r=\"source\"} 42\n"
        "# EOF\n");
}

TEST_CASE("a handle that was never looked up counts nothing") {
  Counter counter;
  counter.add();
  Gauge gauge;
  gauge.add(1);
  Histogram histogram;
  histogram.observe(1);
}

TEST_CASE("label values that a peer invents do not grow a family without end") {
  Registry registry(1);
  Counters& counters = registry.counters({"flood", "A flood.", "", {}});
  for (size_t i = 0; i < 2 * kMostSeries; ++i) counters.with(0, {{"who", std::to_string(i)}}).add();
  CHECK(counters.all().size() <= kMostSeries);
  CHECK(counters.all().size() > kMostSeries / 2);
}

TEST_CASE("a gauge goes up on one worker and down on another") {
  Registry registry(2);
  Gauges& open = registry.gauges({.name = "open", .help = "Open."});
  open.with(0).add(2);
  open.with(1).add(-3);
  CHECK(openmetrics(registry).find("\nopen -1\n") != std::string::npos);
}

TEST_CASE("families without samples are left out") {
  Registry registry(1);
  registry.counters({.name = "opened", .help = "Opened."});
  CHECK(openmetrics(registry) == "# EOF\n");
  CHECK(registry.expose(Format::text).empty());
}

TEST_CASE("a histogram counts into cumulative buckets") {
  Registry registry(2);
  Histograms& seconds = registry.histograms({.name = "d", .help = "D.", .unit = "", .buckets = {0.5, 1, 10}});
  seconds.with(0, {{"p", "udp"}}).observe(0.5);
  seconds.with(1, {{"p", "udp"}}).observe(0.75);
  seconds.with(1, {{"p", "udp"}}).observe(99);
  CHECK(
      openmetrics(registry) ==
      "# HELP d D.\n# TYPE d histogram\nd_bucket{p=\"udp\",le=\"0.5\"} 1\nd_bucket{p=\"udp\",le=\"1.0\"} 2\n"
      "d_bucket{p=\"udp\",le=\"10.0\"} 2\nd_bucket{p=\"udp\",le=\"+Inf\"} 3\nd_sum{p=\"udp\"} 100.25\n"
      "d_count{p=\"udp\"} 3\n# EOF\n");
}

TEST_CASE("the older text format names counters with their suffix and has neither units nor an end") {
  Registry registry(1);
  registry.counters({.name = "istio_requests", .help = "Requests.", .unit = "requests"}).with(0).add(2);
  registry.histograms({.name = "d", .help = "D.", .unit = "", .buckets = {1}}).with(0).observe(3);
  CHECK(
      registry.expose(Format::text) ==
      "# HELP istio_requests_total Requests.\n# TYPE istio_requests_total counter\nistio_requests_total 2\n"
      "# HELP d D.\n# TYPE d histogram\nd_bucket{le=\"1\"} 0\nd_bucket{le=\"+Inf\"} 1\nd_sum 3\nd_count 1\n");
}

TEST_CASE("label values and help texts cannot break a line") {
  CHECK(escaped("plain") == "a=\"plain\"");
  CHECK(escaped("\"q\" \\ \n") == "a=\"\\\"q\\\" \\\\ \\n\"");
  Registry registry(1);
  registry.gauges({.name = "g", .help = "a\\b\nc"}).with(0);
  CHECK(openmetrics(registry).starts_with("# HELP g a\\\\b\\nc\n"));
}

TEST_CASE("a series that is neither held nor changed is dropped after its time") {
  Registry registry(1);
  Counters& opened = registry.counters({.name = "opened", .help = "Opened."});
  Counter held = opened.with(0, {{"w", "held"}});
  opened.with(0, {{"w", "gone"}}).add();
  CHECK(registry.expire(kStart, 5min) == 0);
  CHECK(registry.expire(kStart + 4min, 5min) == 0);
  opened.with(0, {{"w", "gone"}}).add();
  CHECK(registry.expire(kStart + 6min, 5min) == 0);
  CHECK(registry.expire(kStart + 11min, 5min) == 1);
  held.add();
  CHECK(openmetrics(registry).find("opened_total{w=\"held\"} 1\n# EOF") != std::string::npos);
  CHECK(openmetrics(registry).find("gone") == std::string::npos);
}

TEST_CASE("counting, scraping and expiring go on at the same time") {
  constexpr uint64_t kEach = 20000;
  Registry registry(4);
  Counters& opened = registry.counters({.name = "opened", .help = "Opened."});
  Counter held = opened.with(0, {{"w", "x"}});
  std::vector<std::jthread> workers;
  for (size_t worker = 1; worker < 4; ++worker) {
    workers.emplace_back([&opened, worker] {
      for (uint64_t i = 0; i < kEach; ++i) opened.with(worker, {{"w", i % 2 ? "x" : "y"}}).add();
    });
  }
  for (int i = 0; i < 50; ++i) {
    CHECK(openmetrics(registry).ends_with("# EOF\n"));
    registry.expire(kStart, 5min);
  }
  workers.clear();
  CHECK(openmetrics(registry).find("opened_total{w=\"x\"} 30000\n") != std::string::npos);
}

// What a real ztunnel exposed is in test/fixtures/istiod: the same counts must come out as the same lines.
TEST_CASE("the exposition has the shape a ztunnel's has") {
  std::ifstream file("test/fixtures/istiod/ztunnel_metrics.txt");
  REQUIRE(file);
  std::set<std::string> fixture;
  for (std::string line; std::getline(file, line);) fixture.insert(line);

  Registry registry(1);
  Gauge build = add_build(registry, "ztunnel", "unknown");
  registry
      .counters({.name = "istio_xds_message_bytes",
                 .help = "Total number of bytes received (unstable).",
                 .unit = "bytes"})
      .with(0, {{"url", "type.googleapis.com/istio.workload.Address"}})
      .add(4332);
  registry
      .gauges(
          {.name = "istio_tcp_sockets_open", .help = "The current number of open TCP sockets (unstable)."})
      .with(0, {{"reporter", "destination"}})
      .set(1);
  registry
      .counters(
          {.name = "istio_tcp_connections_opened", .help = "The total number of TCP connections opened."})
      .with(0, Labels(kTraffic))
      .add(4);
  std::istringstream exposed(openmetrics(registry));
  for (std::string line; std::getline(exposed, line);) {
    INFO(line);
    CHECK(fixture.contains(line));
  }
}

TEST_CASE("the process tells its file descriptors") {
  Registry registry(1);
  add_process_gauges(registry);
  std::string text = openmetrics(registry);
  CHECK(text.find("# TYPE process_open_fds gauge\nprocess_open_fds ") != std::string::npos);
  CHECK(text.find("process_open_fds 0\n") == std::string::npos);
  CHECK(text.find("process_max_fds ") != std::string::npos);
}
