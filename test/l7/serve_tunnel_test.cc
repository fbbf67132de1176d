// SPDX-License-Identifier: Apache-2.0
#include "l7/serve_tunnel.h"

#include "test/support/catch.h"
#include "test/support/l7_world.h"

using namespace ambientd;

namespace {

hbone::Headers connect_with(std::string baggage) {
  return {{":method", "CONNECT"}, {":authority", "10.96.0.10:80"}, {"baggage", std::move(baggage)}};
}

const l7::Peer kStranger{*SockAddr::parse("10.9.9.9:41000"), Identity{"cluster.local", "default", "web"}};

}  // namespace

TEST_CASE("tunnels of one client share one caller, and a client that invents baggage is unknown in the end") {
  Loop loop;
  test::World world;
  Result<l7::Tunnel> first = l7::tunnel_of(connect_with("service.name=a"), kStranger, world.worker);
  Result<l7::Tunnel> second = l7::tunnel_of(connect_with("service.name=a"), kStranger, world.worker);
  REQUIRE((first && second));
  CHECK(first->caller == second->caller);
  CHECK(first->caller->baggage.service_name == "a");
  CHECK(first->caller->identity == kStranger.identity);
  for (int i = 0; i < 10'000; ++i)
    REQUIRE(l7::tunnel_of(connect_with("service.name=a" + std::to_string(i)), kStranger, world.worker));
  Result<l7::Tunnel> late = l7::tunnel_of(connect_with("service.name=late"), kStranger, world.worker);
  REQUIRE(late);
  CHECK(late->caller->baggage == hbone::Baggage{});
}
