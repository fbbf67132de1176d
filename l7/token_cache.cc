// SPDX-License-Identifier: Apache-2.0
#include "l7/token_cache.h"

#include <utility>

namespace ambientd::l7 {

policy::VerifiedTokenPtr TokenCache::find(std::string_view token, const policy::JwtRulePtr& rule,
                                          const policy::JwksPtr& keys) {
  auto good = [&](const Entry& entry) { return entry.rule == rule && entry.keys == keys; };
  auto young = young_.find(token);
  if (young != young_.end()) return good(young->second) ? young->second.verified : nullptr;
  auto old = old_.find(token);
  if (old == old_.end() || !good(old->second)) return nullptr;
  policy::VerifiedTokenPtr verified = old->second.verified;
  put(std::string(token), rule, keys, verified);
  return verified;
}

void TokenCache::put(std::string token, policy::JwtRulePtr rule, policy::JwksPtr keys,
                     policy::VerifiedTokenPtr verified) {
  if (young_.size() == kGeneration || bytes_ + token.size() > kGenerationBytes) {
    old_ = std::exchange(young_, {});
    bytes_ = 0;
  }
  size_t size = token.size();
  Entry entry{std::move(rule), std::move(keys), std::move(verified)};
  if (young_.insert_or_assign(std::move(token), std::move(entry)).second) bytes_ += size;
}

}  // namespace ambientd::l7
