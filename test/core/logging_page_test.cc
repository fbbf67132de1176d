// SPDX-License-Identifier: Apache-2.0
#include "core/logging_page.h"

#include "core/log.h"
#include "test/support/catch.h"

using namespace ambientd;

namespace {

const log::Filter kAtStart = *log::Filter::parse("xds=warn,info");

struct Restore {
  Restore() { log::set_filter(kAtStart); }
  ~Restore() { log::set_filter({}); }
};

AdminResponse post(std::string query) {
  return answer_logging({.method = "POST", .path = "/logging", .query = std::move(query)}, kAtStart);
}

}  // namespace

TEST_CASE("log levels are shown, changed in both spellings and reset at run time") {
  Restore restore;
  struct Case {
    const char *query, *levels;
  };
  const Case cases[] = {
      {"", "xds=warn,info"},
      {"level=", "xds=warn,info"},  // what istioctl asks to see them
      {"level=debug", "xds=warn,debug"},
      {"level=access:off,xds=trace", "xds=trace,access=off,debug"},
      {"level=ztunnel::inbound:debug", "xds=trace,access=off,inbound=debug,debug"},
      {"level=warning", "xds=trace,access=off,inbound=debug,warn"},
      {"reset", "xds=warn,info"},
      {"level=error&reset", "xds=warn,error"},
      {"reset=", "xds=warn,info"},
      {"workload=default/shell-0&level=debug", "xds=warn,[proxy{wl=default/shell-0}]=debug,info"},
      {"workload=default/shell-0&level=off", "xds=warn,[proxy{wl=default/shell-0}]=off,info"},
      {"level=%5Bproxy%7Bwl%3Da/b%7D%5D=trace",
       "xds=warn,[proxy{wl=default/shell-0}]=off,[proxy{wl=a/b}]=trace,info"},
      {"workload=default/shell-0&reset", "xds=warn,[proxy{wl=a/b}]=trace,info"},
      {"reset", "xds=warn,info"},
  };
  for (const Case& c : cases) {
    INFO(c.query);
    AdminResponse response = post(c.query);
    CHECK(response.status == 200);
    CHECK(response.body == "current log level is " + std::string(c.levels) + "\n");
    CHECK(log::filter().str() == c.levels);
  }
}

TEST_CASE("a level that is none changes nothing and is answered with what there is") {
  Restore restore;
  struct Case {
    const char *query, *starts;
  };
  const Case cases[] = {
      {"level=loud", "Invalid level provided: loud"},
      {"level=debug,xds=loud", "Invalid level provided: xds=loud"},
      {"level=xds:", "Invalid level provided: xds:"},
      {"workload=shell&level=debug", "Invalid workload provided: shell (want namespace/name)"},
      {"workload=a/b/c&level=debug", "Invalid workload provided: a/b/c"},
      {"workload=a/b%7D%5D&level=debug", "Invalid workload provided: a/b}]"},
      {"workload=a/b&level=xds:debug", "Invalid level provided: xds:debug (a workload has one level)"},
      {"workload=a/b", "Invalid level provided: "},
      {"level=%5Bproxy%7Bwl%3Da%7D%5D=trace", "Invalid level provided: [proxy{wl=a}]=trace"},
  };
  for (const Case& c : cases) {
    INFO(c.query);
    AdminResponse response = post(c.query);
    CHECK(response.status == 400);
    CHECK(response.body.starts_with(c.starts));
    CHECK(response.body.find("usage: POST /logging?level=<mod>:<level>") != std::string::npos);
    CHECK(log::filter().str() == kAtStart.str());
  }
}

TEST_CASE("levels are changed by POST only") {
  AdminResponse response = answer_logging({.method = "GET", .path = "/logging"}, kAtStart);
  CHECK(response.status == 405);
  CHECK(response.body.starts_with("Invalid HTTP method\n"));
}

TEST_CASE("levels do not pile up without end") {
  Restore restore;
  for (size_t i = 0; i < log::kMostClauses + 10; ++i)
    post("workload=default/pod-" + std::to_string(i) + "&level=debug");
  CHECK(log::filter().size() == log::kMostClauses);
  CHECK(post("workload=default/one-more&level=debug").status == 400);
  std::string many = "level=";
  for (size_t i = 0; i < log::kMostClauses + 10; ++i) many += "t" + std::to_string(i) + ":debug,";
  CHECK(post(many).status == 400);
}
