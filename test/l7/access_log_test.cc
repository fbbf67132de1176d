// SPDX-License-Identifier: Apache-2.0
#include "l7/access_log.h"

#include "test/support/catch.h"

using namespace ambientd;
using namespace ambientd::l7;
using namespace std::string_literals;

namespace {

RequestLog answered() {
  RequestLog log;
  log.start = std::chrono::system_clock::time_point{std::chrono::milliseconds(1787392800123)};
  log.protocol = Protocol::http1;
  log.method = "GET";
  log.path = "/reviews/1?x=y";
  log.authority = "reviews:9080";
  log.user_agent = "curl/8.0";
  log.request_id = "1b4e28ba-2fa1-41d2-883f-0016d3cca427";
  log.status = 200;
  log.flags = "-";
  log.details = "via_upstream";
  log.bytes_received = 5;
  log.bytes_sent = 379;
  log.duration = std::chrono::milliseconds(12);
  log.upstream_time = std::chrono::milliseconds(11);
  log.upstream = SockAddr{Ip::v4(10, 244, 1, 7), 9080};
  log.cluster = cluster_name(true, 9080, true, "reviews.default.svc.cluster.local");
  log.downstream_local = SockAddr{Ip::v4(10, 96, 0, 5), 9080};
  log.downstream_remote = SockAddr{Ip::v4(10, 244, 2, 3), 41234};
  log.route = "default";
  return log;
}

}  // namespace

TEST_CASE("a request is one line of Envoy's default format") {
  CHECK(text_line(answered()) ==
        "[2026-08-22T10:00:00.123Z] \"GET /reviews/1?x=y HTTP/1.1\" 200 - via_upstream - \"-\" 5 379 12 11 "
        "\"-\" "
        "\"curl/8.0\" \"1b4e28ba-2fa1-41d2-883f-0016d3cca427\" \"reviews:9080\" "
        "\"envoy://connect_originate/10.244.1.7:9080\" "
        "inbound-vip|9080|http|reviews.default.svc.cluster.local envoy://internal_client_address/ "
        "10.96.0.5:9080 "
        "10.244.2.3:41234 - default\n");
}

TEST_CASE("what a local reply did not have is a dash") {
  RequestLog log = answered();
  log.protocol = Protocol::http2;
  log.status = 503;
  log.flags = "UF,URX";
  log.details = "upstream_reset_before_response_started{connection_timeout}";
  log.transport_failure = "TLS_error: bad certificate";
  log.upstream_time.reset();
  log.upstream.reset();
  log.cluster.clear();
  log.route.clear();
  log.forwarded_for = "1.2.3.4, 5.6.7.8";
  CHECK(
      text_line(log) ==
      "[2026-08-22T10:00:00.123Z] \"GET /reviews/1?x=y HTTP/2\" 503 UF,URX "
      "upstream_reset_before_response_started{connection_timeout} - \"TLS_error: bad certificate\" 5 379 12 "
      "- "
      "\"1.2.3.4, 5.6.7.8\" \"curl/8.0\" \"1b4e28ba-2fa1-41d2-883f-0016d3cca427\" \"reviews:9080\" \"-\" - - "
      "10.96.0.5:9080 10.244.2.3:41234 - -\n");
}

TEST_CASE("a TCP connection has no request") {
  RequestLog log;
  log.start = answered().start;
  log.bytes_received = 1;
  log.bytes_sent = 2;
  log.upstream = SockAddr{*Ip::parse("fd00::7"), 3306};
  log.upstream_hbone = false;
  log.upstream_local = SockAddr{*Ip::parse("fd00::1"), 50000};
  log.cluster = cluster_name(true, 3306, false, "db.shop.svc.cluster.local");
  CHECK(
      text_line(log) ==
      "[2026-08-22T10:00:00.123Z] \"- - -\" 0 - - - \"-\" 1 2 0 - \"-\" \"-\" \"-\" \"-\" \"[fd00::7]:3306\" "
      "inbound-vip|3306|tcp|db.shop.svc.cluster.local [fd00::1]:50000 - - - -\n");
}

TEST_CASE("a client can forge neither a field nor a line") {
  RequestLog log = answered();
  log.path = "/a\" 200 - \\";
  log.user_agent = "evil\r\n[2026] \"GET /\x1b[31m\"\0"s;
  log.server_name = "a b\nc\"";
  std::string line = text_line(log);
  CHECK(line.find("\"GET /a\\\" 200 - \\\\ HTTP/1.1\"") != std::string::npos);
  CHECK(line.find("\"evil\\x0d\\x0a[2026] \\\"GET /\\x1b[31m\\\"\\x00\"") != std::string::npos);
  CHECK(line.find(" a_b\\x0ac\\\" default\n") != std::string::npos);
  CHECK(line.find('\n') == line.size() - 1);
}

TEST_CASE("the JSON line has every key in order") {
  RequestLog log = answered();
  log.user_agent = "a\"\n\xff";
  CHECK(
      json_line(log) ==
      "{\"start_time\":\"2026-08-22T10:00:00.123Z\",\"route_name\":\"default\",\"method\":\"GET\","
      "\"path\":\"/reviews/1?x=y\",\"protocol\":\"HTTP/1.1\",\"response_code\":200,\"response_flags\":\"-\","
      "\"response_code_details\":\"via_upstream\",\"connection_termination_details\":null,\"bytes_received\":"
      "5,"
      "\"bytes_sent\":379,\"duration\":12,\"upstream_service_time\":\"11\",\"x_forwarded_for\":null,"
      "\"user_agent\":\"a\\\"\\n\xef\xbf\xbd\",\"request_id\":\"1b4e28ba-2fa1-41d2-883f-0016d3cca427\","
      "\"authority\":\"reviews:9080\",\"upstream_host\":\"envoy://connect_originate/10.244.1.7:9080\","
      "\"upstream_cluster\":\"inbound-vip|9080|http|reviews.default.svc.cluster.local\","
      "\"upstream_local_address\":\"envoy://internal_client_address/\","
      "\"downstream_local_address\":\"10.96.0.5:9080\",\"downstream_remote_address\":\"10.244.2.3:41234\","
      "\"requested_server_name\":null,\"upstream_transport_failure_reason\":null}\n");
}

TEST_CASE("a request describes itself") {
  Request request;
  request.protocol = Protocol::http2;
  request.method = "POST";
  request.path = "/a";
  request.authority = "b";
  request.fields = {{"x-forwarded-for", "1.1.1.1"}, {"user-agent", "u"}, {"x-request-id", "id"}};
  RequestLog log;
  describe(log, request);
  CHECK(log.protocol == Protocol::http2);
  CHECK(log.method + log.path + log.authority + log.forwarded_for + log.user_agent + log.request_id ==
        "POST/ab1.1.1.1uid");
}

TEST_CASE("clusters are named as operators know them") {
  CHECK(cluster_name(true, 80, true, "a.b.svc.cluster.local") == "inbound-vip|80|http|a.b.svc.cluster.local");
  CHECK(cluster_name(false, 80, true, "a.b.svc.cluster.local") == "outbound|80||a.b.svc.cluster.local");
}
