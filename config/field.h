// SPDX-License-Identifier: Apache-2.0
// A Field is a view of one value of a document that knows where it stands, so that every reader says what is
// wrong in the same words: FILE:LINE: kind ns/name: spec.rules[0].port: must be ... A field that is absent or
// null reads as its fallback. What nobody asked for is what refuse_unknown() names: ask for every field you
// know. A Field borrows the document and its Reading; neither may go or change before it.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/document.h"
#include "config/problem.h"
#include "core/ip.h"

namespace ambientd::config {

// One document on its way through a reader.
struct Reading {
  const Value& root;
  std::string file;
  std::string prefix;   // path of the root in its file: `items[3]`, or empty
  std::string subject;  // `Pod demo/client-0`, once it is known
  Problems& problems;
};

class Field {
 public:
  explicit Field(Reading& reading) : Field(reading, &reading.root, nullptr, {}) { mark(); }

  explicit operator bool() const { return value_ != nullptr && value_->kind != Value::Kind::null; }
  bool blank() const;  // absent, null, or a map that holds nothing but nulls
  bool is(Value::Kind kind) const { return value_ != nullptr && value_->kind == kind; }
  int line() const;
  std::string path() const;
  std::string_view tag() const { return value_ ? std::string_view(value_->tag) : std::string_view(); }

  Field operator[](std::string_view key) const;  // of a map; reports anything else than a map or nothing
  Field need(std::string_view key) const;        // the same, and reports when it is absent
  std::vector<Field> each() const;               // of a list; reports anything else than a list or nothing
  std::vector<std::pair<std::string_view, Field>> entries() const;  // of a map, in order

  std::string text(std::string_view fallback = {}) const;            // reports a list or a map
  std::string need_text(std::string_view key) const;                 // reports absent and empty
  std::vector<std::string> texts() const;                            // a list of scalars
  std::map<std::string, std::string> text_map() const;               // labels and the like
  bool flag(bool fallback = false) const;                            // plain true or false
  bool is_number() const;                                            // a plain decimal number
  std::optional<uint64_t> number(uint64_t min, uint64_t max) const;  // reports anything else
  std::optional<uint16_t> port() const;                              // 1-65535
  std::optional<Ip> ip() const;
  std::optional<Cidr> cidr() const;

  // One of a closed set of words; reports any other, naming the set.
  template <class T>
  T choice(std::initializer_list<std::pair<std::string_view, T>> words, T fallback) const {
    if (!*this) return fallback;
    std::string got = text(), known;
    for (const auto& [word, value] : words) {
      if (got == word) return value;
      known += (known.empty() ? "" : ", ") + std::string(word);
    }
    error("must be one of " + known + ", not " + in_quotes(got));
    return fallback;
  }

  void error(std::string message) const { report(Severity::error, std::move(message)); }
  void warn(std::string message) const { report(Severity::warning, std::move(message)); }
  void report(Severity severity, std::string message) const;

  void ignore() const;          // known, and nothing here depends on it
  void refuse_unknown() const;  // an error for each value below this one that nobody asked for

 private:
  Field(Reading& reading, const Value* value, const Value* parent, std::string missing)
      : reading_(&reading), value_(value), parent_(parent), missing_(std::move(missing)) {}
  Field absent(std::string_view key) const;
  const Field& mark() const;
  Field child(const Value& value) const { return Field(*reading_, &value, value_, {}).mark(); }
  static std::string in_quotes(std::string_view text);

  Reading* reading_;
  const Value* value_;   // null: absent
  const Value* parent_;  // of an absent field: the nearest value above it
  std::string missing_;  // of an absent field: its path below parent_
};

}  // namespace ambientd::config
