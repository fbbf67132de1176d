// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <nlohmann/json.hpp>

#include "l4/failover.h"
#include "l4/why_page.h"
#include "test/l4/why_cases.h"
#include "test/support/run.h"

using namespace ambientd;
using namespace ambientd::l4;
using namespace ambientd::l4::test;
using nlohmann::json;

namespace {

// How often each kind of outcome was met: the cases must not all be alike.
struct Tally {
  size_t refused = 0, plain = 0, tunnel = 0, twice = 0, impostors = 0, accepted = 0, denied = 0, invalid = 0;
  size_t waypoints = 0, one_way = 0;
};

std::vector<json> ways_to(const json& why, const SockAddr& at) {
  std::vector<json> out;
  for (const json& each : why["ways"])
    if (each.value("dials", "") == at.str()) out.push_back(each);
  return out;
}

bool any(const json& ways, auto says) { return std::ranges::any_of(ways, says); }
bool all(const json& ways, auto says) { return std::ranges::all_of(ways, says); }
bool is_tunnel(const json& way) { return way.contains("authority"); }
bool is_twice(const json& way) { return way.value("protocol", "") == "DOUBLEHBONE"; }

class Trial {
 public:
  Trial(WhyWorld& world, WhyCase& drawn, Tally& tally) : world_(world), case_(drawn), tally_(tally) {
    world_.settings.missing_waypoint = drawn.missing;
    world_.publish(drawn.mesh);
    const config::Snapshot& snapshot = *world_.client->snapshot;
    std::string source = drawn.client == 0 ? "default/client" : "other/client";
    Result<Question> question = understand(snapshot, "", "cluster.local", source, drawn.target.str());
    REQUIRE(question);
    question->from = Ip::loopback(false);
    why_ = shown(explain(snapshot, rules_of(world_.settings), std::move(*question)));
    set_peers();
  }

  bool can_be_faked() const { return fit_; }

  Task<void> run() {
    co_await world_.call(case_.client, case_.target, real_);
    INFO(why_.dump(2));
    INFO(world_.log_text());
    INFO("dialled " << told(world_.seen.dialled) << "; applications " << told(world_.seen.plain) << "; read "
                    << world_.seen.answer);
    REQUIRE(why_["complete"] == true);
    tally_.one_way += why_["ways"].size() == 1;
    if (world_.seen.dialled.empty() && world_.seen.plain.empty()) {
      check_refused();
    } else if (world_.seen.dialled.empty()) {
      check_plain();
    } else if (impostors_) {
      check_impostors();
    } else if (real_) {
      check_judged();
    } else {
      check_tunnel();
    }
  }

 private:
  static std::string told(const std::vector<SockAddr>& all) {
    std::string out;
    for (const SockAddr& each : all) out += each.str() + " ";
    return out;
  }

  // Fake peers answer as one of those who are expected, or as nobody who is; and real ones stand in where the
  // explanation knows what they say.
  void set_peers() {
    const json& ways = why_["ways"];
    world_.twice = any(ways, is_twice);
    real_ =
        case_.real && all(ways, [](const json& way) { return !is_tunnel(way) || way.contains("farEnd"); });
    impostors_ = case_.impostors && !real_ && all(ways, is_tunnel);
    world_.presents.clear();
    for (size_t i = 0; i < kServers; ++i)
      world_.presents[{server_ip(i), kHbonePort}] = ambientd::test::workload("nobody");
    if (impostors_ || real_) return;
    // A peer answers as somebody whom each way there expects, and is a gateway for all ways or for none.
    std::map<std::string, std::vector<json>> expected;
    for (const json& way : ways) {
      if (!is_tunnel(way)) continue;
      expected[way["dials"]].push_back(way["expects"]);
      if (is_twice(way)) expected["inside"].push_back(way["expectsInside"]);
      if (is_twice(way) != world_.twice) fit_ = false;
    }
    for (const auto& [where, lists] : expected) {
      std::vector<std::string> common = lists.front();
      for (const std::vector<std::string> each : lists)
        std::erase_if(common,
                      [&](const std::string& one) { return std::ranges::find(each, one) == each.end(); });
      if (common.empty()) fit_ = false;
      if (!fit_) return;
      Identity one = *Identity::parse(common[case_.below(common.size())]);
      if (where == "inside") {
        world_.inside = one;
      } else {
        world_.presents[*SockAddr::parse(where)] = one;
      }
    }
  }

  void check_refused() {
    ++tally_.refused;
    CHECK(any(why_["ways"], [this](const json& way) {
      return way.contains("error") && world_.logged("error=\"" + way["error"].get<std::string>() + "\"");
    }));
    CHECK(world_.seen.answer.empty());
  }

  void check_plain() {
    ++tally_.plain;
    CHECK(any(ways_to(why_, world_.seen.plain.front()),
              [](const json& way) { return way["protocol"] == "TCP"; }));
    CHECK(world_.seen.answer == kHere);
  }

  void check_tunnel() {
    const Seen& seen = world_.seen;
    json ways = ways_to(why_, seen.dialled.front());
    const std::string& caller = why_["source"]["identity"].get_ref<const std::string&>();
    CHECK(any(ways, [&](const json& way) {
      std::vector<std::string> expected(is_twice(way) ? 2 : 1, way["authority"].get<std::string>());
      return seen.authorities == expected;
    }));
    CHECK(all(seen.callers, [&](const std::string& each) { return each == caller; }));
    CHECK(seen.dialled.size() == 1);
    CHECK(seen.answer == kHere);
    ++(world_.twice ? tally_.twice : tally_.tunnel);
    tally_.waypoints += any(ways, [](const json& way) { return way["hops"][0]["what"] == "waypoint"; });
  }

  void check_impostors() {
    ++tally_.impostors;
    CHECK(world_.seen.authorities.empty());
    CHECK((world_.seen.answer.empty() || !world_.seen.plain.empty()));
  }

  // A ztunnel answered: what it was to say is known, and whether the application was reached was seen.
  void check_judged() {
    const Seen& seen = world_.seen;
    json ways = ways_to(why_, seen.dialled.front());
    REQUIRE_FALSE(ways.empty());
    CHECK(any(ways, [&](const json& way) { return happened(way["farEnd"]); }));
  }

  bool happened(const json& far) {
    int status = far["status"];
    const Seen& seen = world_.seen;
    if (status == 200) {
      ++tally_.accepted;
      return seen.plain.size() == 1 && far["application"] == seen.plain[0].str() && has(seen.answer, kHere);
    }
    std::string reason = far["reason"];
    if (!world_.logged(reason)) return false;
    if (status == 503) return true;  // and then it was tried elsewhere
    ++(status == 401 ? tally_.denied : tally_.invalid);
    return seen.plain.empty() && seen.answer.empty() &&
           world_.logged("error=\"http status: " + std::to_string(status));
  }

  WhyWorld& world_;
  WhyCase& case_;
  Tally& tally_;
  json why_;
  bool real_ = false, impostors_ = false, fit_ = true;
};

Task<void> thousand_calls(WhyWorld& world, Tally& tally) {
  uint64_t seed = 0;
  for (size_t done = 0; done < 1000; ++seed) {
    WhyCase drawn(seed);
    Trial trial(world, drawn, tally);
    if (!trial.can_be_faked()) continue;
    INFO("seed " << seed);
    co_await trial.run();
    ++done;
  }
  co_await world.end();
}

}  // namespace

TEST_CASE("what why says of 1,000 drawn calls is what their peers then see") {
  Loop loop;
  WhyWorld world;
  Tally tally;
  ambientd::test::run(loop, thousand_calls(world, tally), 60'000);
  std::vector<size_t> counts{tally.refused,  tally.plain,  tally.tunnel,  tally.twice,     tally.impostors,
                             tally.accepted, tally.denied, tally.invalid, tally.waypoints, tally.one_way};
  INFO(fmt::format("{}", fmt::join(counts, " ")));
  CHECK(std::min({tally.refused, tally.plain, tally.tunnel, tally.accepted, tally.denied}) >= 50);
  CHECK(std::min({tally.twice, tally.impostors, tally.waypoints}) >= 10);
  CHECK(tally.invalid >= 1);
  CHECK(tally.one_way >= 500);
}
