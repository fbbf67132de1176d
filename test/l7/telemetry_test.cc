// SPDX-License-Identifier: Apache-2.0
#include "l7/telemetry.h"

#include "test/support/catch.h"

using namespace ambientd;
using namespace ambientd::l7;

namespace {

constexpr size_t kWorker = 1;

config::Workload workload(std::string name, std::string revision) {
  config::Workload out;
  out.ns = "shop";
  out.trust_domain = "cluster.local";
  out.service_account = name + "-sa";
  out.workload_name = name + "-v1";
  out.canonical_name = name;
  out.canonical_revision = std::move(revision);
  out.cluster_id = "Kubernetes";
  return out;
}

config::ServicePtr reviews_service() {
  config::Service out;
  out.name = "reviews";
  out.ns = "shop";
  out.hostname = "reviews.shop.svc.cluster.local";
  return std::make_shared<const config::Service>(std::move(out));
}

Identity identity_of(const config::Workload& workload) { return workload.identity(); }

struct Fixture {
  metrics::Registry registry{2};
  MetricFamilies families{registry};
  Telemetry telemetry{families, kWorker};
  config::WorkloadPtr web = std::make_shared<const config::Workload>(workload("web", "v1"));
  config::WorkloadPtr reviews = std::make_shared<const config::Workload>(workload("reviews", "v2"));
  config::ServicePtr service = reviews_service();

  CallerPtr caller() { return telemetry.caller(identity_of(*web), web, "k8s.namespace.name=ignored"); }
  bool has(const std::string& part) {
    std::string text = registry.expose(metrics::Format::text);
    UNSCOPED_INFO(text);
    return text.find(part) != std::string::npos;
  }
};

const std::string kSource =
    R"(reporter="waypoint",source_workload="web-v1",source_canonical_service="web",source_canonical_revision="v1",)"
    R"(source_workload_namespace="shop",source_principal="spiffe://cluster.local/ns/shop/sa/web-sa",)"
    R"(source_app="web",source_version="v1",source_cluster="Kubernetes",)";
const std::string kDestination =
    R"(destination_workload="reviews-v1",destination_workload_namespace="shop",)"
    R"(destination_principal="spiffe://cluster.local/ns/shop/sa/reviews-sa",destination_app="reviews",)"
    R"(destination_version="v2",destination_service="reviews.shop.svc.cluster.local",)"
    R"(destination_canonical_service="reviews",destination_canonical_revision="v2",)"
    R"(destination_service_name="reviews",destination_service_namespace="shop",destination_cluster="Kubernetes",)";

}  // namespace

TEST_CASE("a request is counted under 25 labels in Istio's order") {
  Fixture f;
  RequestTotals totals{.status = 200,
                       .grpc_status = {},
                       .request_bytes = 120,
                       .response_bytes = 700,
                       .duration = std::chrono::microseconds(7900)};
  f.telemetry.count(f.caller(), {f.reviews, f.service, ""}, totals);
  f.telemetry.count(f.caller(), {f.reviews, f.service, "-"}, totals);
  const std::string labels = "{" + kSource + kDestination +
                             R"(request_protocol="http",response_code="200",grpc_response_status="",)"
                             R"(response_flags="-",connection_security_policy="mutual_tls")";
  CHECK(f.has("istio_requests_total" + labels + "} 2\n"));
  CHECK(f.has("istio_request_duration_milliseconds_sum" + labels + "} 14"));
  CHECK(f.has("istio_request_duration_milliseconds_bucket" + labels + R"(,le="5"} 0)"));
  CHECK(f.has("istio_request_duration_milliseconds_bucket" + labels + R"(,le="10"} 2)"));
  CHECK(f.has("istio_request_duration_milliseconds_bucket" + labels + R"(,le="3600000"} 2)"));
  CHECK(f.has("istio_request_bytes_sum" + labels + "} 240"));
  CHECK(f.has("istio_response_bytes_sum" + labels + "} 1400"));
}

TEST_CASE("a gRPC request tells its own status") {
  Fixture f;
  f.telemetry.count(f.caller(), {f.reviews, f.service, "-"}, {.grpc = true, .status = 200, .grpc_status = 7});
  f.telemetry.count(f.caller(), {f.reviews, f.service, "-"},
                    {.grpc = true, .status = 200, .grpc_status = 4711});
  CHECK(f.has(R"(request_protocol="grpc",response_code="200",grpc_response_status="7",response_flags="-")"));
  CHECK(f.has(R"(grpc_response_status="2",)"));
  CHECK(!f.has("4711"));
}

TEST_CASE("a local reply has no destination but the service") {
  Fixture f;
  f.telemetry.count(f.caller(), {nullptr, f.service, "UH"}, {.status = 503, .grpc_status = {}});
  CHECK(f.has(R"(destination_workload="unknown",destination_workload_namespace="unknown",)"
              R"(destination_principal="unknown",destination_app="unknown",)"
              R"(destination_version="unknown",)"
              R"(destination_service="reviews.shop.svc.cluster.local",)"
              R"(destination_canonical_service="unknown",destination_canonical_revision="unknown",)"
              R"(destination_service_name="reviews",destination_service_namespace="shop",)"
              R"(destination_cluster="unknown",request_protocol="http",response_code="503",)"
              R"(grpc_response_status="",response_flags="UH",connection_security_policy="unknown")"));
}

TEST_CASE("a caller without a record is what its baggage says, but its namespace is the certificate's") {
  Fixture f;
  Identity identity{"cluster.local", "real", "web"};
  CallerPtr caller = f.telemetry.caller(identity, nullptr,
                                        "k8s.cluster.name=west,k8s.namespace.name=claimed,k8s.deployment."
                                        "name=web-v9,service.name=web,service.version=v9");
  f.telemetry.count(caller, {f.reviews, f.service, "-"}, {.status = 200, .grpc_status = {}});
  CHECK(f.has(R"(source_workload="web-v9",source_canonical_service="web",)"
              R"(source_canonical_revision="v9",source_workload_namespace="real",)"
              R"(source_principal="spiffe://cluster.local/ns/real/sa/web",source_app="web",)"
              R"(source_version="v9",source_cluster="west")"));
}

TEST_CASE("a caller nobody knows is unknown") {
  Fixture f;
  f.telemetry.count(f.telemetry.caller({}, nullptr, ""), {f.reviews, f.service, "-"},
                    {.status = 200, .grpc_status = {}});
  CHECK(f.has(R"(source_workload="unknown",source_canonical_service="unknown",)"
              R"(source_canonical_revision="latest",source_workload_namespace="unknown",)"
              R"(source_principal="unknown",source_app="unknown",source_version="unknown",)"
              R"(source_cluster="unknown")"));
  CHECK(f.has(R"(connection_security_policy="none")"));
}

TEST_CASE("a TCP connection is counted without response labels") {
  Fixture f;
  ConnectionMetrics connection = f.telemetry.open(f.caller(), {f.reviews, f.service, ""});
  connection.received.add(10);
  connection.sent.add(20);
  const std::string labels =
      "{" + kSource + kDestination +
      R"(request_protocol="tcp",response_flags="-",connection_security_policy="mutual_tls"} )";
  CHECK(f.has("istio_tcp_connections_opened_total" + labels + "1\n"));
  CHECK(f.has("istio_tcp_received_bytes_total" + labels + "10\n"));
  CHECK(f.has("istio_tcp_sent_bytes_total" + labels + "20\n"));
  connection.closed.add();
  CHECK(f.has("istio_tcp_connections_closed_total" + labels + "1\n"));
}

TEST_CASE("tunnels of one client share one caller") {
  Fixture f;
  CHECK(f.caller() == f.caller());
  CHECK(f.telemetry.caller({}, nullptr, "service.name=a") ==
        f.telemetry.caller({}, nullptr, "service.name=a"));
  CHECK(f.telemetry.caller({}, nullptr, "service.name=a") !=
        f.telemetry.caller({}, nullptr, "service.name=b"));
}

TEST_CASE("a peer that invents baggage does not fill the table") {
  Fixture f;
  for (int i = 0; i < 10'000; ++i) f.telemetry.caller({}, nullptr, "service.name=a" + std::to_string(i));
  CallerPtr late = f.telemetry.caller({}, nullptr, "service.name=late");
  CHECK(late->baggage == hbone::Baggage{});
  CHECK(f.telemetry.caller({}, nullptr, "service.name=later") == late);
  CHECK(f.telemetry.caller({}, nullptr, "service.name=a1")->baggage.service_name == "a1");
  f.telemetry.sweep();
  f.telemetry.sweep();
  CHECK(f.telemetry.caller({}, nullptr, "service.name=late")->baggage.service_name == "late");
}

TEST_CASE("swept handles let idle series expire, and counting goes on") {
  Fixture f;
  RequestTotals totals{.status = 200, .grpc_status = {}};
  std::chrono::steady_clock::time_point now{};
  f.telemetry.count(f.caller(), {f.reviews, f.service, "-"}, totals);
  f.registry.expire(now, std::chrono::minutes(5));
  f.telemetry.sweep();
  CHECK(f.registry.expire(now + std::chrono::hours(1), std::chrono::minutes(5)) == 0);
  f.telemetry.sweep();
  CHECK(f.registry.expire(now + std::chrono::hours(2), std::chrono::minutes(5)) > 0);
  f.telemetry.count(f.caller(), {f.reviews, f.service, "-"}, totals);
  CHECK(f.has(R"(connection_security_policy="mutual_tls"} 1)"));
}
