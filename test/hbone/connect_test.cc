// SPDX-License-Identifier: Apache-2.0
#include "hbone/connect.h"

#include "test/support/catch.h"

using namespace ambientd;
using namespace ambientd::hbone;

TEST_CASE("the worked example of the contract comes out byte for byte") {
  Baggage from{"Kubernetes", "default", "deployment", "shell", "shell", "latest", "r", "z"};
  Connect connect{"10.244.2.7:8080",
                  from.str(),
                  forwarded_for(*SockAddr::parse("10.244.1.13:48178"), "echo.default.svc.cluster.local"),
                  "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
                  {}};
  CHECK(connect.headers() ==
        Headers{{":method", "CONNECT"},
                {":authority", "10.244.2.7:8080"},
                {"baggage",
                 "k8s.cluster.name=Kubernetes,k8s.namespace.name=default,k8s.deployment.name=shell,service."
                 "name=shell,"
                 "service.version=latest,cloud.region=r,cloud.availability_zone=z"},
                {"forwarded", "for=\"10.244.1.13:48178\";host=echo.default.svc.cluster.local"},
                {"traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"}});
}

TEST_CASE("empty baggage items are left out, unknown ones skipped") {
  CHECK(Baggage{}.str().empty());
  Baggage parsed = Baggage::parse("k8s.job.name=j,x=y,,=,k8s.cluster.name=a=b,service.name");
  CHECK(parsed.workload_type == "job");
  CHECK(parsed.workload_name == "j");
  CHECK(parsed.cluster == "a");
  CHECK(parsed.service_name.empty());
}

TEST_CASE("only a CONNECT to host and port is a CONNECT") {
  struct Case {
    const char *method, *authority;
    bool good;
  };
  for (const Case& c : {Case{"CONNECT", "10.0.0.1:80", true},
                        {"CONNECT", "[fd00::1]:80", true},
                        {"CONNECT", "echo.default:80", true},
                        {"GET", "10.0.0.1:80", false},
                        {"CONNECT", "", false},
                        {"CONNECT", "10.0.0.1", false},
                        {"CONNECT", "10.0.0.1:x", false},
                        {"CONNECT", "10.0.0.1:70000", false},
                        {"CONNECT", ":80", false},
                        {"CONNECT", "fd00::1:80", false}}) {
    INFO(c.method << " " << c.authority);
    CHECK(Connect::parse({{":method", c.method}, {":authority", c.authority}}).has_value() == c.good);
  }
  CHECK(Connect::parse({{":method", "GET"}}).error().detail == "expected method CONNECT, got GET");
}

TEST_CASE("the service of a forwarded header is found, and only there") {
  CHECK(forwarded_host("for=\"1.2.3.4:5\";host=a.b.c") == "a.b.c");
  CHECK(forwarded_host("host=\"a.b.c\"") == "a.b.c");
  CHECK_FALSE(forwarded_host("for=\"1.2.3.4:5\""));
  CHECK_FALSE(forwarded_host("Host=a"));
  CHECK_FALSE(forwarded_host("host=\xc3\xa9"));
  CHECK_FALSE(forwarded_host("host="));
}

TEST_CASE("traceparents are random and well formed") {
  std::string a = new_traceparent();
  CHECK(a.size() == 55);
  CHECK(a.starts_with("00-"));
  CHECK(a.ends_with("-00"));
  CHECK(a != new_traceparent());
}
