// SPDX-License-Identifier: Apache-2.0
#include "l7/dispatch.h"

#include "test/support/catch.h"
#include "test/support/l7_world.h"

using namespace ambientd;
using config::AppProtocol;

namespace {

Result<l7::Target> dispatch(std::string_view authority) {
  l7::ViewPtr view = test::view_of(test::small_mesh());
  return l7::dispatch(*view->snapshot, *view->self, authority);
}

}  // namespace

TEST_CASE("a service's address and port select it, with the protocol the port declares") {
  struct Case {
    std::string authority, service;
    AppProtocol protocol;
  };
  auto c = GENERATE(Case{"10.96.0.10:9080", "reviews", AppProtocol::sniff},
                    Case{"10.96.0.10:80", "reviews", AppProtocol::http1},
                    Case{"10.96.0.10:82", "reviews", AppProtocol::grpc},
                    Case{"10.96.0.10:90", "reviews", AppProtocol::tcp},
                    Case{"10.96.0.11:9080", "reviews-v2", AppProtocol::sniff});
  Result<l7::Target> target = dispatch(c.authority);
  REQUIRE(target);
  REQUIRE(target->service);
  CHECK(target->service->name == c.service);
  CHECK(target->protocol == c.protocol);
}

TEST_CASE("a workload bound to the waypoint is reached at its own address, on any port, sniffed") {
  Result<l7::Target> target = dispatch("10.1.0.20:1234");
  REQUIRE(target);
  CHECK_FALSE(target->service);
  REQUIRE(target->workload);
  CHECK(target->workload->name == "direct-1");
  CHECK(target->protocol == AppProtocol::sniff);
}

TEST_CASE("what is not bound to this waypoint is refused, and so are host names and proxy ports") {
  struct Case {
    std::string authority;
    Errc code;
  };
  auto c = GENERATE(Case{"reviews.default.svc.cluster.local:9080", Errc::bad_request},
                    Case{"10.96.0.10", Errc::bad_request}, Case{"", Errc::bad_request},
                    Case{"10.96.0.10:1", Errc::not_found},    // no such port
                    Case{"10.96.0.10:53", Errc::not_found},   // UDP
                    Case{"10.96.0.40:80", Errc::not_found},   // a service of nobody's
                    Case{"10.1.0.30:80", Errc::not_found},    // a pod that is not bound
                    Case{"10.1.0.10:8080", Errc::not_found},  // a bound service's pod
                    Case{"10.1.0.2:15000", Errc::not_found},  // ourselves
                    Case{"192.0.2.1:80", Errc::not_found},    // outside
                    Case{"10.1.0.20:15008", Errc::self_call}, Case{"10.1.0.20:15006", Errc::self_call});
  Result<l7::Target> target = dispatch(c.authority);
  INFO(c.authority);
  REQUIRE_FALSE(target);
  CHECK(target.error().code == c.code);
  CHECK_FALSE(target.error().detail.empty());
}

TEST_CASE("a waypoint finds itself by name, and its Gateway by its service or its label") {
  config::Mesh mesh = test::small_mesh();
  l7::ViewPtr view = test::view_of(mesh);
  REQUIRE(view->self);
  CHECK(view->self->gateway == "default/waypoint");
  mesh.workloads[0].labels["gateway.networking.k8s.io/gateway-name"] = "labelled";
  CHECK(test::view_of(mesh)->self->gateway == "default/labelled");
  Result<l7::Self> nobody = l7::Self::find(*view->snapshot, "nobody", "default", "waypoint");
  REQUIRE_FALSE(nobody);
  CHECK(nobody.error().code == Errc::not_found);
}
