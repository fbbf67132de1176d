// SPDX-License-Identifier: Apache-2.0
#include "policy/path_template.h"

#include <algorithm>

#include "core/text.h"

namespace ambientd::policy {
namespace {

constexpr std::string_view kOne = "{*}", kAny = "{**}";

}  // namespace

bool is_path_template(std::string_view text) {
  return text.find(kOne) != text.npos || text.find(kAny) != text.npos;
}

bool is_valid_template(std::string_view text) {
  if (!text.starts_with('/')) return false;
  bool seen_any = false;
  for (std::string_view segment : split(text, '/')) {
    bool one = segment == kOne, any = segment == kAny;
    if ((one || any) && seen_any) return false;
    seen_any |= any;
    if (!one && !any && segment.find_first_of("{}") != segment.npos) return false;
  }
  return true;
}

bool template_matches(std::string_view pattern, std::string_view path) {
  if (!is_valid_template(pattern)) return false;
  for (;;) {
    size_t brace = std::min(pattern.find('{'), pattern.size());
    if (brace == pattern.size()) return path == pattern;
    if (!path.starts_with(pattern.substr(0, brace))) return false;
    path.remove_prefix(brace);
    pattern.remove_prefix(brace);
    if (pattern.starts_with(kAny)) return path.ends_with(pattern.substr(kAny.size()));
    size_t segment = std::min(path.find('/'), path.size());
    if (segment == 0) return false;
    path.remove_prefix(segment);
    pattern.remove_prefix(kOne.size());
  }
}

}  // namespace ambientd::policy
