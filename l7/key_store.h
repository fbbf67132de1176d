// SPDX-License-Identifier: Apache-2.0
// Fetches what issuers publish: once for the process, on the main loop, never while a request is being
// judged. A source is fetched when a rule first names it, every five minutes after that, soon again when that
// fails (ever later, up to a minute), and early when a token names a key that is not in the set. A set that
// was good stays until a newer good one replaces it; until the first one there is nothing, and tokens are
// refused.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "core/fetch.h"
#include "l7/key_table.h"
#include "policy/jwt_rule.h"

namespace ambientd::l7 {

class KeyStore {
 public:
  using Fetch = std::function<Task<Result<std::string>>(Url url, uint64_t timeout_ms, Scope& scope)>;
  // Runs on the calling thread's loop, when table() has changed by itself.
  using Changed = std::function<void()>;

  KeyStore(Fetch fetch, Changed changed);
  ~KeyStore();
  KeyStore(const KeyStore&) = delete;

  // The rules of the mesh as it is now; sources that none of them names any more are forgotten.
  void want(std::span<const policy::JwtRulePtr> rules);
  // A token named a key that `source` does not have; it is fetched again, at most every ten seconds.
  void missed(std::string_view source);
  // Ends all fetching; nobody waits any more for keys that have not come. table() stays.
  void stop();

  KeyTablePtr table() const { return table_; }

 private:
  struct Source;
  using SourcePtr = std::shared_ptr<Source>;
  static Task<void> follow(SourcePtr source, Fetch fetch);
  void make_table();
  void publish();

  Fetch fetch_;
  Changed changed_;
  std::map<std::string, SourcePtr, std::less<>> sources_;
  KeyTablePtr table_ = std::make_shared<const KeyTable>();
};

}  // namespace ambientd::l7
