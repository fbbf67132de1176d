// SPDX-License-Identifier: Apache-2.0
// The log: one line per event on stdout, plain or JSON (contract/ztunnel.md §12). A call costs one comparison
// when its level is off; when it is on, the line is formatted here and written by a thread of its own, in
// order and without loss: a producer waits only when kQueue lines are pending.
//
//   log::warn("xds", "connection lost", {{"address", peer}, {"retry_ms", 250}});
//
// Strings come out in quotes; numbers and what is wrapped in log::display() do not. A line about one of our
// pods names it as its Subject: `policy:proxy{wl=default/shell}`, and that pod's own level decides.
#pragma once

#include <atomic>
#include <concepts>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "core/log_filter.h"

namespace ambientd::log {

enum class Shape : uint8_t { plain, json };

inline constexpr size_t kQueue = 10'000;  // lines (contract/ztunnel.md §1.4)

struct Display {
  std::string_view text;
};
inline Display display(std::string_view text) { return {text}; }

// A key and a value for one log call. Borrows its texts: build it in the call.
class Field {
 public:
  using Value = std::variant<std::string_view, Display, int64_t, uint64_t, bool>;
  Field(std::string_view k, std::string_view text) : key(k), value(text) {}
  Field(std::string_view k, Display text) : key(k), value(text) {}
  Field(std::string_view k, std::same_as<bool> auto flag) : key(k), value(flag) {}
  Field(std::string_view k, std::signed_integral auto n) : key(k), value(static_cast<int64_t>(n)) {}
  Field(std::string_view k, std::unsigned_integral auto n)
    requires(!std::same_as<decltype(n), bool>)
      : key(k), value(static_cast<uint64_t>(n)) {}

  std::string_view key;
  Value value;
};

// Until start() lines go straight to stdout at level info, plain. stop() writes what is pending; call it
// last.
void start(Shape shape, Filter filter);
void stop();

// The filter in force, changed at run time by the admin port.
Filter filter();
void set_filter(Filter filter);

bool enabled(Level level, std::string_view target, const Subject& about = {});

void write(Level level, std::string_view target, std::string_view message, std::span<const Field> fields = {},
           const Subject& about = {});

// A line whose format has no place for its subject, which the caller found to be enabled.
void write_enabled(Level level, std::string_view target, std::string_view message,
                   std::span<const Field> fields);

// A line of somebody else's format, as it is: the access log of a waypoint. Without its line end.
void raw(std::string_view line);

// Lines go to `sink` instead of stdout, in the caller's thread, until it is called with nullptr: for tests.
void redirect_to(std::function<void(std::string_view line)> sink, Shape shape = Shape::plain);

inline void trace(std::string_view target, std::string_view message, std::initializer_list<Field> fields = {},
                  const Subject& about = {}) {
  write(Level::trace, target, message, fields, about);
}
inline void debug(std::string_view target, std::string_view message, std::initializer_list<Field> fields = {},
                  const Subject& about = {}) {
  write(Level::debug, target, message, fields, about);
}
inline void info(std::string_view target, std::string_view message, std::initializer_list<Field> fields = {},
                 const Subject& about = {}) {
  write(Level::info, target, message, fields, about);
}
inline void warn(std::string_view target, std::string_view message, std::initializer_list<Field> fields = {},
                 const Subject& about = {}) {
  write(Level::warn, target, message, fields, about);
}
inline void error(std::string_view target, std::string_view message, std::initializer_list<Field> fields = {},
                  const Subject& about = {}) {
  write(Level::error, target, message, fields, about);
}

// One line of either shape, without its line end; `micros` since the epoch.
std::string format(Shape shape, int64_t micros, Level level, std::string_view target,
                   std::string_view message, std::span<const Field> fields, const Subject& about = {});

}  // namespace ambientd::log
