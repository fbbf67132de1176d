// SPDX-License-Identifier: Apache-2.0
#include "l4/verdict_log.h"

#include "test/l4/mesh.h"
#include "test/support/catch.h"

using namespace ambientd;
using namespace ambientd::l4;

namespace {

struct Capture {
  std::vector<std::string> lines;
  Capture() {
    log::redirect_to([this](std::string_view line) { lines.emplace_back(line.substr(line.find('\t') + 1)); });
  }
  ~Capture() {
    log::redirect_to(nullptr);
    log::set_filter({});
  }
};

const policy::Peer kPeer{Identity{"cluster.local", "default", "shell"}, *Ip::parse("10.0.0.1"),
                         *SockAddr::parse("10.0.0.2:80")};
const char* const kRest =
    "src.addr=10.0.0.1 src.identity=\"spiffe://cluster.local/ns/default/sa/shell\" dst.addr=10.0.0.2:80";

}  // namespace

TEST_CASE("what policy decided is told with the policy that decided, dry runs before") {
  Capture capture;
  config::Workload echo = l4::test::workload("echo", "10.0.0.2");
  struct Case {
    policy::Verdict verdict;
    std::vector<policy::DryRun> dry_runs;
    std::vector<std::string> lines;
  };
  const Case cases[] = {
      {{true, "", ""}, {}, {"no allow policies, allow\t"}},
      {{true, "a/b", ""}, {}, {"allow policy match\tpolicy=a/b "}},
      {{false, "a/b", "explicitly denied by: a/b"}, {}, {"deny policy match\tpolicy=a/b "}},
      {{false, "", "allow policies exist, but none allowed"}, {}, {"no allow policies matched\t"}},
      {{true, "", ""},
       {{"a/d", true}, {"a/e", false}, {"", true}},
       {"dry-run: deny policy match\tpolicy=a/d ", "dry-run: allow policy match\tpolicy=a/e ",
        "dry-run: no allow policies match\t", "no allow policies, allow\t"}},
  };
  for (const Case& c : cases) {
    capture.lines.clear();
    log_verdict(log::Level::info, echo, kPeer, c.verdict, c.dry_runs);
    REQUIRE(capture.lines.size() == c.lines.size());
    for (size_t i = 0; i < c.lines.size(); ++i)
      CHECK(capture.lines[i] == "info\tpolicy:proxy{wl=default/echo-0}\t" + c.lines[i] + kRest);
  }
}

TEST_CASE("verdicts are silent unless asked for, and may be asked for of one pod") {
  Capture capture;
  config::Workload echo = l4::test::workload("echo", "10.0.0.2"), other = l4::test::workload("x", "10.0.0.3");
  log_verdict(log::Level::debug, echo, kPeer, {true, "", ""}, {});
  CHECK(capture.lines.empty());
  log::Filter filter;
  filter.add_pod("default/echo-0", log::Level::debug);
  log::set_filter(filter);
  log_verdict(log::Level::debug, echo, kPeer, {true, "", ""}, {});
  log_verdict(log::Level::debug, other, kPeer, {true, "", ""}, {});
  CHECK(capture.lines.size() == 1);
}
