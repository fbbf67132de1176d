// SPDX-License-Identifier: Apache-2.0
#include "core/ctl_why.h"

#include <nlohmann/json.hpp>

#include "test/support/catch.h"

using namespace ambientd;
using nlohmann::json;

namespace {

const json kAnswer = json::parse(R"({
  "source": {"workload": "demo/a", "address": "10.0.0.1", "identity": "spiffe://x/ns/demo/sa/a"},
  "destination": {"address": "10.1.0.2:80", "workload": null, "service": "demo/echo.demo"},
  "complete": true,
  "choices": [{"what": "endpoint", "service": "demo/echo.demo", "port": 80, "candidates": [
    {"workload": "demo/one", "in": true, "port": 8080, "reason": "can be chosen"},
    {"workload": "demo/two", "in": false, "port": null, "reason": "not healthy"}]}],
  "ways": [
    {"protocol": "HBONE", "dials": "10.0.0.2:15008", "authority": "10.0.0.2:8080",
     "expects": ["spiffe://x/ns/demo/sa/b", "spiffe://x/ns/demo/sa/c"],
     "hops": [{"what": "workload", "workload": "demo/one"}],
     "farEnd": {"status": 401, "application": "10.0.0.2:8080", "reason": "explicitly denied by: demo/no",
       "unknownPolicies": ["demo/gone"],
       "policies": [{"policy": "demo/no", "action": "Deny", "verdict": "denies", "decided": true,
                     "ruleNumber": 1, "rule": []}]}},
    {"error": "no healthy upstream: 10.1.0.2:80"}]
})");

}  // namespace

TEST_CASE("an explanation is printed from the call's ends to what the far end says") {
  Result<std::string> out = ctl::why_text(kAnswer);
  REQUIRE(out);
  CHECK(*out == R"(FROM  demo/a       10.0.0.1                spiffe://x/ns/demo/sa/a
TO    10.1.0.2:80  service demo/echo.demo  

endpoint of demo/echo.demo port 80:
  in   demo/one  port 8080  can be chosen
  out  demo/two  -          not healthy

way 1 of 2: HBONE to 10.0.0.2:15008 > workload demo/one
  CONNECT 10.0.0.2:8080
  expects spiffe://x/ns/demo/sa/b or spiffe://x/ns/demo/sa/c
  its ztunnel answers 401, application 10.0.0.2:8080: explicitly denied by: demo/no
  *  demo/no    Deny  denies                      rule 1  []
     demo/gone  -     denies: nobody has sent it  -       

way 2 of 2: refused: no healthy upstream: 10.1.0.2:80
)");
}

TEST_CASE("an explanation that is none is an error, and none moves the cursor") {
  json broken = kAnswer;
  broken["ways"] = json::parse(R"([{"expects": [3]}])");
  CHECK_FALSE(ctl::why_text(broken));
  CHECK_FALSE(ctl::why_text(json::array()));
  json wild = kAnswer;
  wild["ways"][1]["error"] = "a\x1b[2J";
  CHECK(ctl::why_text(wild)->ends_with("refused: a?[2J\n"));
}
