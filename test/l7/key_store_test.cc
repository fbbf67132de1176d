// SPDX-License-Identifier: Apache-2.0
#include "l7/key_store.h"

#include "core/log.h"
#include "core/loop.h"
#include "test/support/catch.h"
#include "test/support/issuer.h"
#include "test/support/run.h"

using namespace ambientd;
using namespace ambientd::l7;
using test::Issuer;

namespace {

constexpr const char* kUri = "http://keys/jwks";

// A store whose source answers with `page`.
struct Site {
  Site() : store([this](Url, uint64_t, Scope&) { return answer(); }, [this] { changed.set(); }) {
    log::redirect_to([this](std::string_view line) {
      log += line;
      logged.set();
    });
    policy::JwtRule rule;
    rule.issuer = "i";
    rule.jwks_uri = kUri;
    std::vector<policy::JwtRulePtr> rules{std::make_shared<const policy::JwtRule>(std::move(rule))};
    store.want(rules);
  }
  ~Site() { log::redirect_to({}); }

  Task<Result<std::string>> answer() {
    ++asked;
    co_return page;
  }
  Task<void> until_logged(std::string part) {
    while (log.find(part) == log.npos) {
      logged.reset();
      co_await logged;
    }
  }
  const KeySet& keys() const { return store.table()->at(kUri); }

  std::string page, log;
  int asked = 0;
  Event changed{"change of the keys"}, logged{"log line"};
  KeyStore store;
};

Task<void> good_keys() {
  Site site;
  site.page = Issuer("ES256", "1").jwks();
  CHECK_FALSE(site.keys().settled);
  co_await site.changed;
  CHECK(site.keys().settled);
  REQUIRE(site.keys().keys);
  CHECK(site.keys().keys->keys.at(0).id == "1");
  site.store.stop();
}

Task<void> nonsense() {
  Site site;
  site.page = "<html>login</html>";
  co_await site.changed;
  CHECK_FALSE(site.keys().keys);
  CHECK(site.keys().fault == policy::JwtFault::no_valid_key);
  CHECK(site.log.find("no keys, its tokens are refused") != site.log.npos);
  co_await site.until_logged("retry_ms=1000");
  co_await site.until_logged("retry_ms=2000");
  CHECK(site.asked == 2);
  site.store.stop();
}

}  // namespace

TEST_CASE("keys that were fetched are there, and before that there are none") {
  Loop loop;
  test::run(loop, good_keys());
}

TEST_CASE("a source that answers with nonsense is asked ever later, like one that does not answer") {
  Loop loop;
  test::run(loop, nonsense());
}
