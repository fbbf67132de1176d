// SPDX-License-Identifier: Apache-2.0
#include "core/admin_ports.h"

#include "core/log.h"
#include "test/support/catch.h"
#include "test/support/run.h"

using namespace ambientd;

namespace {

// Free ports of this machine, found by binding them once.
uint16_t free_port() {
  Result<Fd> socket = tcp_socket(false, 0);
  REQUIRE(socket);
  REQUIRE(listen_on(socket->get(), {Ip::loopback(false), 0}, 1));
  return local_address(socket->get())->port;
}

struct World {
  metrics::Registry registry{1};
  Ports ports{.admin = free_port(), .stats = free_port(), .readiness = free_port()};
  std::vector<std::string> pending;
  Result<std::string> dump = "{}\n";
  int quits = 0;
  AdminPorts open;

  explicit World(Mode mode = Mode::ztunnel)
      : open(mode, registry, {},
             {[this] { return dump; }, [] { return std::string("tasks\n"); }, [this] { return pending; },
              [this] { ++quits; }}) {
    REQUIRE(open.listen(ports, false));
  }
};

Task<HttpMessage> ask(uint16_t port, std::string method, std::string target, std::string accept = "") {
  HttpMessage request;
  request.head.method = std::move(method);
  request.head.target = std::move(target);
  request.head.fields = {{"host", "localhost"}};
  if (!accept.empty()) request.head.fields.push_back({"accept", accept});
  Scope scope;
  Result<HttpMessage> answer = co_await http_call({Ip::loopback(false), port}, std::move(request), scope);
  REQUIRE(answer);
  co_return std::move(*answer);
}

Task<void> check_pages() {
  World world;
  struct Case {
    const char *method, *target;
    int status;
    const char* body;
  };
  const Case cases[] = {
      {"GET", "/", 200, "<!doctype html>"},
      {"GET", "/config_dump", 200, "{}\n"},
      {"POST", "/config_dump", 200, "{}\n"},
      {"GET", "/debug/tasks", 200, "tasks\n"},
      {"GET", "/logging", 405, "Invalid HTTP method\n"},
      {"POST", "/logging", 200, "current log level is info\n"},
      {"POST", "/logging?level=loud", 400, "Invalid level provided: loud"},
      {"GET", "/quitquitquit", 405, ""},
      {"GET", "/debug/pprof/heap/profiling", 200, "heap profiling active: false\n"},
      {"GET", "/debug/pprof/heap", 500, "this build takes no profiles"},
      {"GET", "/debug/pprof/profile?seconds=0", 400, "invalid seconds: 0 (want 1 to 300)\n"},
      {"GET", "/debug/pprof/profile?frequency=x", 400, "invalid frequency: x (want 1 to 1000)\n"},
      {"GET", "/debug/pprof/profile?seconds=3", 500, "this build takes no profiles"},
      {"GET", "/metrics", 404, ""},
      {"GET", "/nowhere", 404, ""},
  };
  for (const Case& c : cases) {
    INFO(c.method << " " << c.target);
    HttpMessage answer = co_await ask(world.ports.admin, c.method, c.target);
    CHECK(answer.head.status == c.status);
    CHECK(answer.body.starts_with(c.body));
    if (*c.body == 0) CHECK(answer.body.empty());
  }
  world.dump = fail(Errc::io, "no room");
  HttpMessage failed = co_await ask(world.ports.admin, "GET", "/config_dump");
  CHECK(failed.head.status == 500);
  CHECK(failed.body == "no room\n");
  co_await world.open.stop();
}

Task<void> check_quit() {
  World world;
  HttpMessage answer = co_await ask(world.ports.admin, "POST", "/quitquitquit");
  CHECK(answer.head.status == 200);
  CHECK(answer.body == "shutdown now\n");
  CHECK(world.quits == 1);
  co_await world.open.stop();
}

Task<void> check_readiness(Mode mode, int not_ready) {
  World world(mode);
  world.pending = {"state manager", "proxy", "state manager"};
  HttpMessage answer = co_await ask(world.ports.readiness, "GET", "/healthz/ready");
  CHECK(answer.head.status == not_ready);
  CHECK(answer.body == "not ready, pending: proxy, state manager\n");
  world.pending.clear();
  answer = co_await ask(world.ports.readiness, "GET", "/healthz/ready");
  CHECK(answer.head.status == 200);
  CHECK(answer.body == "ready\n");
  answer = co_await ask(world.ports.readiness, "POST", "/healthz/ready");
  CHECK(answer.head.status == 405);
  answer = co_await ask(world.ports.readiness, "GET", "/");
  CHECK(answer.head.status == 404);
  co_await world.open.stop();
}

Task<void> check_metrics(Mode mode, std::string plain_type, bool openmetrics) {
  World world(mode);
  metrics::Counters& calls =
      world.registry.counters({.name = "calls", .help = "Calls.", .unit = "", .buckets = {}});
  calls.with(0).add();
  for (const char* path : {"/metrics", "/stats/prometheus"}) {
    HttpMessage answer = co_await ask(world.ports.stats, "GET", path);
    CHECK(*http1::find(answer.head.fields, "content-type") == plain_type);
    CHECK(answer.body.ends_with("# EOF\n") == openmetrics);
    answer = co_await ask(world.ports.stats, "GET", path, "application/openmetrics-text; version=1.0.0");
    CHECK(*http1::find(answer.head.fields, "content-type") ==
          "application/openmetrics-text;charset=utf-8;version=1.0.0");
    CHECK(answer.body.ends_with("calls_total 1\n# EOF\n"));
  }
  co_await world.open.stop();
}

}  // namespace

TEST_CASE("the admin port has the pages of a ztunnel's") {
  Loop loop;
  test::run(loop, check_pages());
}

TEST_CASE("quitquitquit drains as SIGTERM does") {
  Loop loop;
  test::run(loop, check_quit());
}

TEST_CASE("readiness says what is still missing, each once and in order") {
  Loop loop;
  test::run(loop, check_readiness(Mode::ztunnel, 500));
}

TEST_CASE("a waypoint that is not ready says so with another status") {
  Loop loop;
  test::run(loop, check_readiness(Mode::waypoint, 503));
}

TEST_CASE("a ztunnel's metrics are OpenMetrics whoever asks") {
  Loop loop;
  test::run(loop, check_metrics(Mode::ztunnel, "text/plain; charset=utf-8", true));
}

TEST_CASE("a waypoint's metrics are OpenMetrics for those who ask for it") {
  Loop loop;
  test::run(loop, check_metrics(Mode::waypoint, "text/plain; version=0.0.4; charset=utf-8", false));
}
