// SPDX-License-Identifier: Apache-2.0
#include "l4/failover.h"

#include "test/l4/calls.h"
#include "test/support/run.h"

using namespace ambientd;
using namespace ambientd::l4;
using namespace ambientd::l4::test;
using ambientd::l4::test::service;

namespace {

constexpr const char* kFirst = "127.0.0.9";

// The service's calls go through a waypoint with two instances: `first`, which fails, and the server's side.
struct World {
  explicit World(uint16_t first_port) : app(TwoZtunnels::kServer, serve_echo) {
    config::Service waypoint = service("waypoint", "10.1.0.9", 15008, 0);
    both.mesh.services = {service("echo", "10.1.0.2", app.at.port, app.at.port), waypoint};
    both.mesh.services[0].waypoint = by_host("waypoint");
    config::Workload& server = both.mesh.workloads[1];
    server = behind(server, "waypoint", {{15008, both.hbone->at.port}});
    both.mesh.workloads.push_back(behind(workload("a-first", kFirst), "waypoint", {{15008, first_port}}));
    both.publish();
  }

  // As it would be decided with a choice of the first instance.
  Captured call() const {
    Captured out{both.client->pods[0]->self, kFrom, {*Ip::parse("10.1.0.2"), app.at.port}, {}};
    Call asked{*out.self, out.from.ip, out.target};
    Result<Decision> decision = decide(*both.client->snapshot, rules_of(both.settings), asked, 0);
    REQUIRE(decision);
    REQUIRE(decision->to.ip.str() == kFirst);
    out.decision = *decision;
    return out;
  }
  std::string metrics() const { return both.registry.expose(metrics::Format::text); }

  TwoZtunnels both;
  Listener app;
};

Task<void> goes_elsewhere(World& world, std::string reason) {
  log::set_filter(*log::Filter::parse("debug"));
  std::string answer;
  bool clean = false;
  co_await request(world.both, world.call(), "hello", answer, clean);
  co_await shut_down(world.both);
  log::set_filter({});
  CHECK(answer == "hello");
  std::string all;
  for (const std::string& line : world.both.log) all += line;
  INFO(all);
  INFO(world.metrics());
  CHECK(has(all, "attempt failed, trying another endpoint"));
  CHECK(has(all, "dst.addr=" + std::string(kFirst) + ":"));
  CHECK(has(world.both.ended("outbound"), "\tinfo\taccess\tconnection complete"));
  CHECK(has(world.both.ended("outbound"), "dst.addr=127.0.0.2:"));
  CHECK(has(world.metrics(), "ambientd_failed_attempts_total{reason=\"" + reason +
                                 "\",destination_service=\"echo.default.svc.cluster.local\",destination_"
                                 "workload=\"a-first\",destination_workload_namespace=\"default\"} 1"));
  CHECK_FALSE(has(world.metrics(), "istio_tcp_connections_failed_total{reporter=\"source\""));
}

Task<void> fails(World& world, Captured call, std::string error, size_t attempts) {
  std::string answer;
  bool clean = false;
  co_await request(world.both, std::move(call), "hello", answer, clean);
  co_await shut_down(world.both);
  CHECK(answer.empty());
  INFO(world.both.ended("outbound"));
  CHECK(has(world.both.ended("outbound"), error));
  CHECK(has(world.metrics(), "ambientd_failed_attempts_total") == (attempts > 1));
}

}  // namespace

TEST_CASE("what a peer refuses for good is final, everything before the 200 is not") {
  for (Errc code :
       {Errc::connect_refused, Errc::connect_failed, Errc::timed_out, Errc::hbone_timed_out, Errc::tls,
        Errc::identity, Errc::http2, Errc::refused_stream, Errc::reset, Errc::eof, Errc::no_destination})
    CHECK(may_try_again(code, 0));
  CHECK(may_try_again(Errc::http_status, 503));
  for (int status : {400, 401, 403, 404, 500}) CHECK_FALSE(may_try_again(Errc::http_status, status));
  for (Errc code : {Errc::closed, Errc::denied, Errc::draining, Errc::overloaded, Errc::self_call, Errc::io})
    CHECK_FALSE(may_try_again(code, 0));
}

TEST_CASE("an endpoint that refuses the connection is passed over") {
  Loop loop;
  World world(1);
  ambientd::test::run(loop, goes_elsewhere(world, "connect_refused"));
}

TEST_CASE("an endpoint that is somebody else by now is passed over") {
  Loop loop;
  World world(1);
  Listener stale(kFirst, [&world](Fd fd) {  // the server's certificate answers where a-first is expected
    ++world.both.server->load;
    Loop::current().spawn("peer", serve_peer(world.both.server->pods[0].get(), std::move(fd)));
  });
  world.both.mesh.workloads.back().services["default/" + host("waypoint")] = {{15008, stale.at.port}};
  world.both.publish();
  ambientd::test::run(loop, goes_elsewhere(world, "identity"));
}

TEST_CASE("an endpoint that resets during the handshake is passed over") {
  Loop loop;
  World world(1);
  Listener rude(kFirst, [](Fd fd) { set_reset_on_close(fd.get()); });
  world.both.mesh.workloads.back().services["default/" + host("waypoint")] = {{15008, rude.at.port}};
  world.both.publish();
  ambientd::test::run(loop, goes_elsewhere(world, "http2"));
}

TEST_CASE("an endpoint that does not answer is given up in time for another one") {
  Loop loop;
  World world(1);
  std::vector<Fd> held;
  Listener silent(kFirst, [&held](Fd fd) { held.push_back(std::move(fd)); });
  world.both.mesh.workloads.back().services["default/" + host("waypoint")] = {{15008, silent.at.port}};
  world.both.settings.try_ms = 50;
  world.both.publish();
  ambientd::test::run(loop, goes_elsewhere(world, "timed_out"));
}

TEST_CASE("a call fails with the last error when nobody is left") {
  Loop loop;
  World world(1);
  world.both.hbone.reset();
  ambientd::test::run(loop, fails(world, world.call(), "127.0.0.2", 2));
}

TEST_CASE("once the time for all attempts is over there is no other one") {
  Loop loop;
  World world(1);
  world.both.settings.failover_ms = 0;
  ambientd::test::run(
      loop, fails(world, world.call(), std::string("connect ") + kFirst + ":1: Connection refused", 1));
}

TEST_CASE("a call that policy denies is not tried elsewhere") {
  Loop loop;
  World world(1);
  policy::Authorization deny{.name = "deny", .ns = "default", .scope = policy::Authorization::Scope::ns};
  deny.action = policy::Authorization::Action::deny;
  deny.rules = {{}};
  world.both.mesh.policies = {deny};
  world.both.publish();
  Captured call = world.call();
  call.decision.to = world.both.hbone->at;
  call.decision.peers = {ambientd::test::workload("echo")};
  call.decision.workload = world.both.server->pods[0]->self;
  ambientd::test::run(loop, fails(world, call, "http status: 401 Unauthorized", 1));
}
