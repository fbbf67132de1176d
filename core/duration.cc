// SPDX-License-Identifier: Apache-2.0
#include "core/duration.h"

#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <limits>
#include <optional>

#include "core/text.h"

namespace ambientd {
namespace {

struct Unit {
  std::string_view name;
  int64_t nanos;
};
constexpr int64_t kSecond = 1'000'000'000;
constexpr std::array<Unit, 9> kUnits = {{{"ns", 1},
                                         {"us", 1'000},
                                         {"µs", 1'000},
                                         {"ms", 1'000'000},
                                         {"s", kSecond},
                                         {"m", 60 * kSecond},
                                         {"h", 3600 * kSecond},
                                         {"d", 86400 * kSecond},
                                         {"w", 7 * 86400 * kSecond}}};

std::string_view take_until(std::string_view& text, std::string_view stop, bool inverted) {
  size_t end = inverted ? text.find_first_not_of(stop) : text.find_first_of(stop);
  std::string_view taken = text.substr(0, end);
  text.remove_prefix(taken.size());
  return taken;
}

std::optional<int64_t> nanos_of(std::string_view unit) {
  for (const Unit& known : kUnits)
    if (known.name == unit) return known.nanos;
  return std::nullopt;
}

// One `number unit` off the front of text, in nanoseconds.
std::optional<int64_t> take_part(std::string_view& text) {
  std::optional<uint64_t> number = parse_uint(take_until(text, "0123456789", true));
  std::optional<int64_t> unit = nanos_of(trim(take_until(text, "0123456789+ \t", false)));
  int64_t out = 0;
  if (!number || !unit || *number > std::numeric_limits<int64_t>::max()) return std::nullopt;
  if (__builtin_mul_overflow(static_cast<int64_t>(*number), *unit, &out)) return std::nullopt;
  return out;
}

}  // namespace

Result<std::chrono::nanoseconds> parse_duration(std::string_view text) {
  std::string_view rest = trim(text);
  if (parse_uint(rest)) return parse_duration(fmt::format("{}s", rest));
  int64_t total = 0;
  bool good = !rest.empty();
  while (good && !rest.empty()) {
    std::optional<int64_t> part = take_part(rest);
    good = part && !__builtin_add_overflow(total, *part, &total);
    size_t next = rest.find_first_not_of("+ \t");
    bool dangling = next == std::string_view::npos && !rest.empty();
    good = good && !dangling;
    rest.remove_prefix(std::min(next, rest.size()));
  }
  if (!good)
    return fail(Errc::invalid, fmt::format("{} is not a duration like 10s, 5m or 1m30s", quoted(text)));
  return std::chrono::nanoseconds(total);
}

}  // namespace ambientd
