// SPDX-License-Identifier: Apache-2.0
#include "config/route.h"

#include <re2/re2.h>

namespace ambientd::config {
namespace {

constexpr int64_t kMaxMemory = 1 << 20;  // bytes one compiled expression may take

}  // namespace

std::optional<Regex> Regex::compile(std::string_view pattern) {
  RE2::Options options(RE2::Quiet);
  options.set_max_mem(kMaxMemory);
  auto re = std::make_shared<const RE2>(re2::StringPiece(pattern.data(), pattern.size()), options);
  if (!re->ok()) return {};
  return Regex(std::move(re));
}

std::string Regex::escaped(std::string_view text) {
  return RE2::QuoteMeta(re2::StringPiece(text.data(), text.size()));
}

bool Regex::full_match(std::string_view text) const {
  return RE2::FullMatch(re2::StringPiece(text.data(), text.size()), *re_);
}

std::string Regex::replaced(std::string_view text, std::string_view substitution) const {
  std::string out(text);
  RE2::GlobalReplace(&out, *re_, re2::StringPiece(substitution.data(), substitution.size()));
  return out;
}

bool Regex::accepts(std::string_view substitution) const {
  std::string why;
  return re_->CheckRewriteString(re2::StringPiece(substitution.data(), substitution.size()), &why);
}

const std::string& Regex::pattern() const { return re_->pattern(); }

}  // namespace ambientd::config
