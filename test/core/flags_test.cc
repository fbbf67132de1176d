// SPDX-License-Identifier: Apache-2.0
#include "core/flags.h"

#include <map>

#include "core/duration.h"
#include "core/version.h"
#include "test/support/catch.h"

using namespace ambientd;
using namespace std::chrono_literals;

namespace {

using Variables = std::map<std::string, std::string>;

Result<Options> parse(std::vector<const char*> arguments, const Variables& variables = {}) {
  return parse_flags(arguments, [&](const std::string& name) -> std::optional<std::string> {
    auto at = variables.find(name);
    return at == variables.end() ? std::nullopt : std::optional(at->second);
  });
}

Options good(std::vector<const char*> arguments, const Variables& variables = {}) {
  Result<Options> options = parse(std::move(arguments), variables);
  INFO((options ? "" : options.error().detail));
  REQUIRE(options);
  return *options;
}

std::string problem(std::vector<const char*> arguments, const Variables& variables = {}) {
  Result<Options> options = parse(std::move(arguments), variables);
  REQUIRE_FALSE(options);
  CHECK(options.error().code == Errc::invalid);
  return options.error().detail;
}

}  // namespace

TEST_CASE("without arguments it is a ztunnel with the defaults of the contract") {
  Options options = good({});
  CHECK(options.command == Command::run);
  CHECK(options.mode == Mode::ztunnel);
  CHECK(options.secret_ttl == 24h);
  CHECK(options.cluster_id == "Kubernetes");
  CHECK(options.packet_mark == 1337);
  CHECK(options.http2.stream_window == 4194304);
  CHECK(options.http2.connection_window == 16777216);
  CHECK(options.http2.frame_size == 1048576);
  CHECK(options.pool_max_streams == 100);
  CHECK(options.pool_release == 5min);
  CHECK(options.termination_deadline == 5s);
  CHECK(options.workers >= 2);
  CHECK(options.ports.admin == 15000);
  CHECK_FALSE(options.original_source);
  CHECK(options.identity.ca_dir == "/run/ambientd/ca");
}

TEST_CASE("flags fill the options") {
  Options options =
      good({"--mode", "waypoint", "--config", "a.yaml", "--config=b", "--workload", "ns/w/sa", "--workers",
            "3", "--log-level", "xds=debug", "--ca-cert", "c", "--ca-key", "k", "--admin-port", "16000"});
  CHECK(options.mode == Mode::waypoint);
  CHECK(options.config == std::vector<std::string>{"a.yaml", "b"});
  CHECK(options.workload == WorkloadName{"ns", "w", "sa"});
  CHECK(options.workers == 3);
  CHECK(options.log_filter.str() == "xds=debug,info");
  CHECK(options.identity.ca_cert == "c");
  CHECK(options.ports.admin == 16000);
  CHECK(options.http2.stream_window == 1 << 20);
}

TEST_CASE("pods may be repeated") {
  Options options = good({"--pod", "n/a/s=/run/netns/a", "--pod", "n/b/s=/run/netns/b"});
  REQUIRE(options.pods.size() == 2);
  CHECK(options.pods[1] == PodName{{"n", "b", "s"}, "/run/netns/b"});
}

TEST_CASE("it starts the way Istio's containers start it, further arguments ignored") {
  CHECK(good({"proxy", "ztunnel"}).mode == Mode::ztunnel);
  Options options =
      good({"proxy", "waypoint", "--domain", "ns.svc.cluster.local", "--serviceCluster", "w.ns",
            "--proxyLogLevel=warning", "--proxyComponentLogLevel", "misc:error", "--config", "x"});
  CHECK(options.mode == Mode::waypoint);
  CHECK(options.config == std::vector<std::string>{"x"});
  CHECK(problem({"proxy", "sidecar"}).starts_with("proxy: want proxy ztunnel or proxy waypoint"));
}

TEST_CASE("subcommands") {
  CHECK(good({"version"}).command == Command::version);
  CHECK(good({"help"}).command == Command::help);
  CHECK(good({"--help"}).command == Command::help);
  CHECK(good({"--check", "--config", "x"}).command == Command::check);
  CHECK(good({"redirect", "--apply"}).command == Command::redirect_apply);
  CHECK(good({"redirect", "--remove"}).command == Command::redirect_remove);
  Options print = good({"redirect", "--print", "--dns"});
  CHECK(print.command == Command::redirect_print);
  CHECK(print.redirect_dns);
  CHECK(problem({"redirect"}) == "redirect: give one of --apply, --remove, --print");
  CHECK(problem({"redirect", "--apply", "--print"}) == "redirect: give one of --apply, --remove, --print");
}

TEST_CASE("what is wrong with the arguments is said in one sentence") {
  CHECK(problem({"--config", "x", "frobnicate"}) == "unknown command: frobnicate (see ambientd --help)");
  CHECK(problem({"frobnicate"}) == "unknown command: frobnicate (see ambientd --help)");
  CHECK(problem({"--frobnicate"}) == "unknown flag: --frobnicate (see ambientd --help)");
  CHECK(problem({"--mode", "sidecar"}) == "--mode: \"sidecar\" is neither ztunnel nor waypoint");
  CHECK(problem({"--workload", "a/b"}) == "--workload: \"a/b\" is not namespace/name/service-account");
  CHECK(problem({"--workload", "a//b"}).starts_with("--workload: "));
  CHECK(problem({"--pod", "a/b/c"}) ==
        "--pod: \"a/b/c\" is not namespace/name/service-account=/path/of/netns");
  CHECK(problem({"--mode", "waypoint", "--pod", "a/b/c=/x"}).starts_with("--pod: a waypoint serves no pods"));
  CHECK(problem({"--workers", "many"}).starts_with("--workers: \"many\" is not a number"));
  CHECK(problem({"--log-level", "loud"}).starts_with("--log-level: Invalid level provided: loud"));
  CHECK(problem({"--ca-cert", "x"}) == "--ca-cert: goes with --ca-key: give both or none");
  CHECK(problem({"--cert", "x", "--key", "y"}).starts_with("--cert: goes with --key and --root"));
  CHECK(problem({"--cert", "x", "--key", "y", "--root", "z", "--ca-cert", "a", "--ca-key", "b"})
            .starts_with("--cert: contradicts"));
  CHECK(problem({"--admin-port", "0"}) ==
        "--admin-port: Value 0 not in range 1 to 65535 (see ambientd --help)");
  CHECK(problem({"--config"}).find("--config") != std::string::npos);
}

TEST_CASE("environment variables of a ztunnel are honoured") {
  Options options = good({}, {{"PROXY_WORKLOAD_INFO", "ns/w/sa"},
                              {"PROXY_MODE", "dedicated"},
                              {"NETWORK", "n1"},
                              {"MISSING_WAYPOINT", "refuse"},
                              {"LOCALHOST_APP_TUNNEL", "false"},
                              {"NODE_NAME", "node"},
                              {"CLUSTER_ID", "c1"},
                              {"CLUSTER_DOMAIN", "x.y"},
                              {"SECRET_TTL", "10s"},
                              {"ENABLE_ORIG_SRC", "false"},
                              {"PACKET_MARK", "7"},
                              {"IPV6_ENABLED", "false"},
                              {"ENABLE_RESPONSE_BAGGAGE", "false"},
                              {"ZTUNNEL_WORKER_THREADS", "5"},
                              {"POOL_MAX_STREAMS_PER_CONNECTION", "9"},
                              {"POOL_UNUSED_RELEASE_TIMEOUT", "1m30s"},
                              {"HTTP2_STREAM_WINDOW_SIZE", "70000"},
                              {"HTTP2_FRAME_SIZE", "16384"},
                              {"APP_CONGESTION_CONTROL", "reno"},
                              {"KEEPALIVE_ENABLED", "false"},
                              {"KEEPALIVE_TIME", "1m"},
                              {"KEEPALIVE_RETRIES", "3"},
                              {"USER_TIMEOUT_ENABLED", "true"},
                              {"TRUST_DOMAIN", "td"},
                              {"RUST_LOG", "access=off"},
                              {"LOG_FORMAT", "json"},
                              {"AUTHZ_POLICY_INFO_LOGGING", "true"},
                              {"LOCAL_XDS_PATH", "l.yaml"},
                              {"POD_NAME", "p"},
                              {"POD_NAMESPACE", "pn"},
                              {"SERVICE_ACCOUNT", "psa"}});
  CHECK(options.workload == WorkloadName{"ns", "w", "sa"});
  CHECK(options.dedicated);
  CHECK(options.network == "n1");
  CHECK(options.missing_waypoint == MissingWaypoint::refuse);
  CHECK(options.node == "node");
  CHECK(options.cluster_id == "c1");
  CHECK(options.cluster_domain == "x.y");
  CHECK(options.secret_ttl == 10s);
  CHECK(options.original_source == false);
  CHECK(options.packet_mark == 7);
  CHECK_FALSE(options.ipv6);
  CHECK_FALSE(options.response_baggage);
  CHECK_FALSE(options.localhost_app_tunnel);
  CHECK(options.workers == 5);
  CHECK(options.pool_max_streams == 9);
  CHECK(options.pool_release == 90s);
  CHECK(options.http2.stream_window == 70000);
  CHECK(options.http2.frame_size == 16384);
  CHECK(options.app_congestion_control == "reno");
  CHECK_FALSE(options.keepalive.enabled);
  CHECK(options.keepalive.time == 1min);
  CHECK(options.keepalive.retries == 3);
  CHECK(options.keepalive.user_timeout);
  CHECK(options.trust_domain == "td");
  CHECK(options.log_filter.str() == "access=off,info");
  CHECK(options.log_json);
  CHECK(options.log_authorization);
  CHECK(options.local_xds_path == "l.yaml");
  CHECK(options.config == std::vector<std::string>{"l.yaml"});
  CHECK(options.pod_name + options.pod_namespace + options.service_account == "ppnpsa");
}

TEST_CASE("flags beat environment variables") {
  Options options = good({"--workload", "a/b/c", "--workers", "2", "--log-level", "warn", "--config", "f"},
                         {{"PROXY_WORKLOAD_INFO", "x/y/z"},
                          {"ZTUNNEL_WORKER_THREADS", "9"},
                          {"RUST_LOG", "trace"},
                          {"LOCAL_XDS_PATH", "l"}});
  CHECK(options.workload == WorkloadName{"a", "b", "c"});
  CHECK(options.workers == 2);
  CHECK(options.log_filter.str() == "warn");
  CHECK(options.config == std::vector<std::string>{"f"});
  CHECK(good({}, {{"CLUSTER_ID", "a"}, {"ISTIO_META_CLUSTER_ID", "b"}}).cluster_id == "b");
}

TEST_CASE("a bad variable is named with its value and the reason") {
  struct Case {
    const char *name, *value, *reason;
  };
  const Case cases[] = {
      {"ENABLE_ORIG_SRC", "yes", "want true or false"},
      {"IPV6_ENABLED", "1", "want true or false"},
      {"PACKET_MARK", "0x539", "want a number from 1 to 4294967295"},
      {"POOL_MAX_STREAMS_PER_CONNECTION", "70000", "want a number from 1 to 65535"},
      {"HTTP2_FRAME_SIZE", "100", "want a number from 16384 to 16777215"},
      {"HTTP2_STREAM_WINDOW_SIZE", "4294967295", "want a number from 65535 to 2147483647"},
      {"SECRET_TTL", "soon", "\"soon\" is not a duration like 10s, 5m or 1m30s"},
      {"SECRET_TTL", "0", "want one second or more"},
      {"PROXY_MODE", "sidecar", "want shared or dedicated"},
      {"PROXY_WORKLOAD_INFO", "a/b", "\"a/b\" is not namespace/name/service-account"},
  };
  for (const Case& c : cases)
    CHECK(problem({}, {{c.name, c.value}}) ==
          std::string("invalid env var ") + c.name + "=" + c.value + " (" + c.reason + ")");
  CHECK(problem({}, {{"RUST_LOG", "loud"}})
            .starts_with("invalid env var RUST_LOG=loud (Invalid level provided: loud"));
  CHECK(problem({}, {{"ZTUNNEL_WORKER_THREADS", "0%"}})
            .starts_with("invalid env var ZTUNNEL_WORKER_THREADS=0% ("));
  CHECK(problem({}, {{"LOCAL_XDS_PATH", "a"}, {"LOCAL_XDS", "b"}})
            .starts_with("invalid env var LOCAL_XDS_PATH=a ("));
  CHECK(problem({}, {{"PROXY_MODE", "dedicated"}})
            .starts_with("PROXY_MODE=dedicated needs PROXY_WORKLOAD_INFO"));
}

TEST_CASE("the drain deadline follows the grace period unless it is given") {
  auto deadline = [](Variables variables) { return good({}, variables).termination_deadline; };
  CHECK(deadline({{"TERMINATION_GRACE_PERIOD_SECONDS", "30"}}) == 25s);
  CHECK(deadline({{"TERMINATION_GRACE_PERIOD_SECONDS", "10"}}) == 9s);
  CHECK(deadline({{"TERMINATION_GRACE_PERIOD_SECONDS", "1"}}) == 1s);
  CHECK(deadline({{"TERMINATION_GRACE_PERIOD_SECONDS", "0"}}) == 5s);
  CHECK(deadline({{"TERMINATION_GRACE_PERIOD_SECONDS", "30"}, {"CONNECTION_TERMINATION_DEADLINE", "7s"}}) ==
        7s);
}

TEST_CASE("worker threads as a number, a share of the CPUs, or all of them") {
  CHECK(*parse_workers("3", 8) == 3);
  CHECK(*parse_workers("0", 8) == 8);
  CHECK(*parse_workers("50%", 8) == 4);
  CHECK(*parse_workers("1%", 8) == 1);
  CHECK(*parse_workers("30%", 8) == 3);
  for (const char* bad : {"", "-1", "101%", "0%", "%", "2000", "1.5"}) CHECK_FALSE(parse_workers(bad, 8));
}

TEST_CASE("durations as operators write them") {
  struct Case {
    const char* text;
    std::chrono::nanoseconds value;
  };
  const Case cases[] = {
      {"10", 10s},     {"10s", 10s},     {"1m30s", 90s}, {"1m 30s", 90s}, {"1m+30s", 90s},
      {"24h", 24h},    {"250ms", 250ms}, {"7us", 7us},   {"1ns", 1ns},    {"1d", 24h},
      {"1w", 24h * 7}, {" 5m ", 5min},   {"0", 0s},
  };
  for (const Case& c : cases) {
    INFO(c.text);
    Result<std::chrono::nanoseconds> got = parse_duration(c.text);
    REQUIRE(got);
    CHECK(*got == c.value);
  }
  for (const char* bad :
       {"", " ", "s", "10x", "-1s", "1.5s", "1m30", "1m+", "9999999999999999999999s", "400000000w", "1m++"}) {
    INFO(bad);
    CHECK_FALSE(parse_duration(bad));
  }
}

TEST_CASE("the help shows every flag and examples") {
  std::string help = help_text();
  CHECK(help.find("Examples:") != std::string::npos);
  CHECK(help.find("--workload") != std::string::npos);
}

TEST_CASE("the version line has ztunnel's form") {
  CHECK(version_line("1.2.3").starts_with("version.BuildInfo{Version:\"0.1.0\", GitRevision:\""));
  CHECK(version_line("1.2.3").find("IstioVersion:\"1.2.3\"") != std::string::npos);
}

TEST_CASE("ctl says what to show, of whom and how") {
  Options options = good({"ctl", "workloads"});
  CHECK(options.command == Command::ctl);
  CHECK(options.ctl.what == "workloads");
  CHECK(options.ctl.address == "localhost:15000");
  CHECK(options.ctl.output == "table");
  options = good({"ctl", "--address", "127.0.0.1:9", "connection", "-o", "yaml", "-n", "demo", "--raw"});
  CHECK(options.ctl.what == "connections");
  CHECK(options.ctl.address + options.ctl.output + options.ctl.ns == "127.0.0.1:9yamldemo");
  CHECK(options.ctl.raw);
  CHECK(good({"ctl", "policies", "--file", "dump.json"}).ctl.file == "dump.json");
  options = good({"ctl", "why", "demo/client-0", "echo.demo:80", "-o", "json"});
  CHECK(options.ctl.what == "why");
  CHECK(options.ctl.why_source + " " + options.ctl.why_destination == "demo/client-0 echo.demo:80");
  options = good({"ctl", "log", "--workload", "a/b", "--level", "debug", "--reset"});
  CHECK(options.ctl.log_workload + options.ctl.log_level == "a/bdebug");
  CHECK(options.ctl.log_reset);
  options = good({"ctl", "log", "--help"});
  CHECK(options.command == Command::help);
  CHECK(options.help.find("--workload") != std::string::npos);
}

TEST_CASE("ctl without a sense is an error with the next step") {
  CHECK(problem({"ctl"}).find("ctl: say what to show (see ambientd ctl --help)") != std::string::npos);
  CHECK(problem({"ctl", "pods"}).find("unknown command: pods") != std::string::npos);
  CHECK(problem({"ctl", "why", "demo/client-0"}).find("destination") != std::string::npos);
  CHECK(problem({"ctl", "workloads", "-o", "xml"}).find("table") != std::string::npos);
  CHECK(problem({"ctl", "services", "--raw"}).find("--raw") != std::string::npos);
}

TEST_CASE("what becomes of calls whose waypoint is missing is one of three words") {
  CHECK(*parse_missing_waypoint("istio") == MissingWaypoint::istio);
  CHECK(*parse_missing_waypoint("refuse") == MissingWaypoint::refuse);
  CHECK(*parse_missing_waypoint("pass") == MissingWaypoint::pass);
  CHECK_FALSE(parse_missing_waypoint("deny"));
  CHECK_FALSE(parse_missing_waypoint(""));
}
