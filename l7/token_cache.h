// SPDX-License-Identifier: Apache-2.0
// Tokens whose signatures were found good, so that a client that comes again with its token does not cost
// another one. Only the signature is remembered: issuer, times and audience are compared each time, and an
// entry counts for the very bytes of the token, the rule and the key set it was checked with. One a worker.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>

#include "policy/verified_token.h"

namespace ambientd::l7 {

class TokenCache {
 public:
  // Null: not known.
  policy::VerifiedTokenPtr find(std::string_view token, const policy::JwtRulePtr& rule,
                                const policy::JwksPtr& keys);
  void put(std::string token, policy::JwtRulePtr rule, policy::JwksPtr keys,
           policy::VerifiedTokenPtr verified);

  static constexpr size_t kGeneration = 1'000;         // tokens
  static constexpr size_t kGenerationBytes = 2 << 20;  // of their text
  size_t size() const { return young_.size() + old_.size(); }

 private:
  struct Entry {
    policy::JwtRulePtr rule;
    policy::JwksPtr keys;
    policy::VerifiedTokenPtr verified;
  };
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  using Generation = std::unordered_map<std::string, Entry, Hash, std::equal_to<>>;

  // Two generations: when the young one is full the old one goes, and with it what nobody asked for since.
  Generation young_, old_;
  size_t bytes_ = 0;  // of the young one's tokens
};

}  // namespace ambientd::l7
