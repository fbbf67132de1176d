// SPDX-License-Identifier: Apache-2.0
#include "l7/key_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/log.h"
#include "core/loop.h"
#include "policy/json.h"

namespace ambientd::l7 {
namespace {

using policy::JwtRulePtr;

constexpr uint64_t kRefreshMs = 5 * 60'000;
constexpr uint64_t kFirstRetryMs = 1'000;  // doubled with each failure
constexpr uint64_t kLastRetryMs = 60'000;
constexpr uint64_t kMissedMs = 10'000;  // between fetches that tokens ask for

uint64_t retry_after(unsigned failures) {
  return std::min(kLastRetryMs, kFirstRetryMs << std::min(failures - 1, 10u));
}

// What a rule says about where its keys are.
struct Place {
  std::string uri, issuer;
  uint64_t timeout_ms = 5'000;
};

// The URI, or the one that the issuer's own document names (OpenID Connect Discovery §4).
Task<Result<Url>> find_keys(Place place, KeyStore::Fetch fetch, Scope& scope) {
  if (!place.uri.empty()) {
    std::optional<Url> given = Url::parse(place.uri);
    if (!given) co_return fail(Errc::invalid, place.uri + " is no http or https URL");
    co_return std::move(*given);
  }
  std::string base =
      place.issuer.ends_with('/') ? place.issuer.substr(0, place.issuer.size() - 1) : place.issuer;
  std::optional<Url> document = Url::parse(base + "/.well-known/openid-configuration");
  if (!document) co_return fail(Errc::invalid, "its issuer is no URL: give the rule a jwksUri or jwks");
  Result<std::string> text = co_await fetch(*document, place.timeout_ms, scope);
  if (!text) co_return fail(std::move(text.error()));
  std::optional<policy::Json> json = policy::parse_json(*text);
  std::optional<std::string_view> uri = json ? json->text_of("jwks_uri") : std::nullopt;
  std::optional<Url> named = uri ? Url::parse(*uri) : std::nullopt;
  if (!named) co_return fail(Errc::bad_request, document->str() + " names no usable jwks_uri");
  if (document->tls && !named->tls)
    co_return fail(Errc::denied, document->str() + " names a jwks_uri without TLS, which is not followed");
  co_return std::move(*named);
}

}  // namespace

struct KeyStore::Source final : Closable {
  Source(KeyStore& of, std::string its_name, Place where)
      : store(&of), name(std::move(its_name)), place(std::move(where)), timer([this] { due.set(); }) {
    set.missed = std::make_shared<std::atomic<bool>>(false);
    scope.add(*this);
  }

  void close(Errc) override { due.set(); }

  void took(const std::string& text);
  void failed(const Error& why);
  uint64_t next_ms() const { return failures ? retry_after(failures) : kRefreshMs; }

  KeyStore* store;  // null once nobody wants it any more
  std::string name;
  Place place;
  KeySet set;
  std::string text;  // that `set.keys` was made of
  unsigned failures = 0;
  uint64_t fetched_ms = 0;
  Scope scope;
  Event due{"keys due"};
  Timer timer;
};

void KeyStore::Source::took(const std::string& fresh) {
  if (set.keys && fresh == text) {
    failures = 0;
    return;
  }
  Result<policy::JwksPtr> keys = policy::Jwks::parse(fresh);
  if (!keys) {
    if (!set.keys) set.fault = policy::JwtFault::no_valid_key;
    return failed({Errc::bad_request, "the answer " + keys.error().detail});
  }
  log::info("jwt", "keys fetched", {{"source", name}, {"keys", (*keys)->keys.size()}});
  for (const std::string& why : (*keys)->skipped) log::warn("jwt", "left out: " + why, {{"source", name}});
  failures = 0;
  set.keys = std::move(*keys);
  text = fresh;
  set.settled = true;
  store->publish();
}

void KeyStore::Source::failed(const Error& why) {
  ++failures;
  log::warn("jwt",
            set.keys ? "keys not refreshed, the last good ones stay" : "no keys, its tokens are refused",
            {{"source", name}, {"error", why.detail}, {"retry_ms", next_ms()}});
  if (std::exchange(set.settled, true)) return;
  store->publish();
}

KeyStore::KeyStore(Fetch fetch, Changed changed) : fetch_(std::move(fetch)), changed_(std::move(changed)) {}

KeyStore::~KeyStore() {
  changed_ = nullptr;
  stop();
}

void KeyStore::want(std::span<const JwtRulePtr> rules) {
  std::map<std::string, Place, std::less<>> wanted;
  for (const JwtRulePtr& rule : rules) {
    if (rule->jwks) continue;
    auto [at, fresh] = wanted.try_emplace(rule->key_source(), Place{rule->jwks_uri, rule->issuer, 0});
    at->second.timeout_ms = std::max(at->second.timeout_ms, static_cast<uint64_t>(rule->timeout.count()));
  }
  std::erase_if(sources_, [&](auto& each) {
    if (wanted.contains(each.first)) return false;
    each.second->store = nullptr;
    each.second->scope.close({Errc::closed, "no rule names it any more"});
    return true;
  });
  for (auto& [name, place] : wanted) {
    auto at = sources_.find(name);
    if (at != sources_.end()) {
      at->second->place = std::move(place);
      continue;
    }
    SourcePtr source = std::make_shared<Source>(*this, name, std::move(place));
    sources_.emplace(name, source);
    Loop::current().spawn("keys of " + name, follow(source, fetch_));
  }
  make_table();
}

void KeyStore::make_table() {
  auto table = std::make_shared<KeyTable>();
  for (const auto& [name, source] : sources_) table->emplace(name, source->set);
  table_ = std::move(table);
}

void KeyStore::publish() {
  make_table();
  if (changed_) changed_();
}

// The life of one source. It outlives its store only to unwind.
Task<void> KeyStore::follow(SourcePtr source, Fetch fetch) {
  while (!source->scope.closed()) {
    Place place = source->place;
    Result<Url> url = co_await find_keys(place, fetch, source->scope);
    Result<std::string> text = fail(Errc::invalid, "");
    if (url)
      text = co_await fetch(std::move(*url), place.timeout_ms, source->scope);
    else
      text = fail(std::move(url.error()));
    if (source->scope.closed()) co_return;
    if (text)
      source->took(*text);
    else
      source->failed(text.error());
    source->fetched_ms = Loop::current().now_ms();
    *source->set.missed = false;
    source->due.reset();
    Loop::current().set_timer(source->timer, source->next_ms());
    co_await source->due;
    source->timer.cancel();
  }
}

void KeyStore::missed(std::string_view name) {
  auto at = sources_.find(name);
  if (at == sources_.end() || !at->second->timer.set() || at->second->failures > 0) return;
  uint64_t since = Loop::current().now_ms() - at->second->fetched_ms;
  Loop::current().set_timer(at->second->timer, since >= kMissedMs ? 0 : kMissedMs - since);
}

void KeyStore::stop() {
  bool waited_for = false;
  for (auto& [name, source] : sources_)
    if (!std::exchange(source->set.settled, true)) waited_for = true;
  if (waited_for) publish();
  for (auto& [name, source] : sources_) {
    source->store = nullptr;
    source->scope.close({Errc::closed, "the proxy is going away"});
  }
  sources_.clear();
}

}  // namespace ambientd::l7
