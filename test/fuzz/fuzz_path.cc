// SPDX-License-Identifier: Apache-2.0
// Whatever is sent as a path is refused, or has one spelling: normalising it again changes nothing, and no
// segment that would move a reader to another place is left in it.
#include <algorithm>
#include <cctype>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#include "core/text.h"
#include "l7/path.h"

namespace {

void expect_true(bool holds) {
  if (!holds) std::abort();
}

bool is_visible(char c) { return c > 0x20 && c < 0x7f; }

void check(std::string_view given) {
  std::optional<std::string> path = ambientd::l7::normalize_path(given);
  if (!path) return;
  expect_true(ambientd::l7::normalize_path(*path) == path);
  if (*path == "*") return;
  std::string_view whole(*path), before_query = whole.substr(0, whole.find('?'));
  expect_true(before_query.starts_with('/') && std::ranges::all_of(before_query, is_visible));
  expect_true(before_query.find_first_of("\\#") == std::string_view::npos);
  for (std::string_view segment : ambientd::split(before_query, '/'))
    expect_true(segment != "." && segment != "..");
  for (size_t at = 0; (at = before_query.find('%', at)) != std::string_view::npos; ++at) {
    std::optional<unsigned char> byte = ambientd::l7::escaped_byte(before_query.substr(at));
    expect_true(!byte || (*byte != 0 && *byte != '.' && !std::isalnum(*byte)));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  check(text);
  if (std::optional<ambientd::l7::RequestTarget> target = ambientd::l7::split_target(text))
    check(target->path);
  return 0;
}
