// SPDX-License-Identifier: Apache-2.0
#include "config/field.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/text.h"

namespace ambientd::config {
namespace {

constexpr size_t kMaxProblems = 200;  // of one load: more would only hide the first

// Paths are only needed when something is wrong, so they are searched for then instead of being carried.
bool find_path(const Value& at, const Value* wanted, std::string& path) {
  if (&at == wanted) return true;
  size_t length = path.size();
  for (size_t i = 0; i < at.values.size(); ++i) {
    if (at.kind == Value::Kind::list)
      path += fmt::format("[{}]", i);
    else
      path += (path.empty() ? "" : ".") + at.keys[i];
    if (find_path(at.values[i], wanted, path)) return true;
    path.resize(length);
  }
  return false;
}

void mark_all(const Value& value) {
  value.read = true;
  for (const Value& child : value.values) mark_all(child);
}

bool is_decimal(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; }) &&
         (text.size() == 1 || text[0] != '0');
}

}  // namespace

std::string Field::in_quotes(std::string_view text) {
  constexpr size_t kMost = 80;
  return text.size() <= kMost ? quoted(text) : quoted(text.substr(0, kMost)) + "...";
}

const Field& Field::mark() const {
  if (value_ != nullptr) value_->read = true;
  return *this;
}

bool Field::blank() const {
  if (!*this) return true;
  auto null = [](const Value& value) { return value.kind == Value::Kind::null; };
  return value_->kind == Value::Kind::map && std::ranges::all_of(value_->values, null);
}

int Field::line() const {
  if (value_ != nullptr) return value_->line;
  return parent_ != nullptr ? parent_->line : reading_->root.line;
}

std::string Field::path() const {
  std::string path = reading_->prefix;
  const Value* known = value_ != nullptr ? value_ : parent_;
  if (known != nullptr) find_path(reading_->root, known, path);
  if (value_ == nullptr) path += (path.empty() ? "" : ".") + missing_;
  return path;
}

void Field::report(Severity severity, std::string message) const {
  if (reading_->problems.size() >= kMaxProblems) return;
  Problem problem{severity, reading_->file, line(), reading_->subject, path(), std::move(message)};
  Problems& all = reading_->problems;
  if (all.empty() || all.back() != problem) all.push_back(std::move(problem));
}

Field Field::absent(std::string_view key) const {
  if (value_ != nullptr) return Field(*reading_, nullptr, value_, std::string(key));
  return Field(*reading_, nullptr, parent_, missing_ + "." + std::string(key));
}

Field Field::operator[](std::string_view key) const {
  if (!*this) return absent(key);
  if (value_->kind == Value::Kind::map) {
    const Value* found = value_->find(key);
    return found != nullptr ? child(*found) : absent(key);
  }
  error("must be a map");
  mark_all(*value_);
  return absent(key);
}

Field Field::need(std::string_view key) const {
  Field field = (*this)[key];
  if (!field) field.error("is required");
  return field;
}

std::vector<Field> Field::each() const {
  std::vector<Field> out;
  if (!*this) return out;
  if (value_->kind != Value::Kind::list) {
    error("must be a list");
    mark_all(*value_);
    return out;
  }
  out.reserve(value_->values.size());
  for (const Value& value : value_->values) out.push_back(child(value));
  return out;
}

std::vector<std::pair<std::string_view, Field>> Field::entries() const {
  std::vector<std::pair<std::string_view, Field>> out;
  if (!*this) return out;
  if (value_->kind != Value::Kind::map) {
    error("must be a map");
    mark_all(*value_);
    return out;
  }
  for (size_t i = 0; i < value_->keys.size(); ++i)
    out.emplace_back(value_->keys[i], child(value_->values[i]));
  return out;
}

std::string Field::text(std::string_view fallback) const {
  if (!*this) return std::string(fallback);
  if (value_->kind == Value::Kind::scalar) return value_->text;
  error("must be one word of text");
  mark_all(*value_);
  return std::string(fallback);
}

std::string Field::need_text(std::string_view key) const {
  Field field = (*this)[key];
  std::string text = field.text();
  if (text.empty() && (!field || field.is(Value::Kind::scalar))) field.error("is required");
  return text;
}

std::vector<std::string> Field::texts() const {
  std::vector<std::string> out;
  for (const Field& field : each()) out.push_back(field.text());
  return out;
}

std::map<std::string, std::string> Field::text_map() const {
  std::map<std::string, std::string> out;
  for (const auto& [key, field] : entries()) out.emplace(key, field.text());
  return out;
}

bool Field::flag(bool fallback) const {
  if (!*this) return fallback;
  if (value_->plain && value_->text == "true") return true;
  if (value_->plain && value_->text == "false") return false;
  error("must be true or false");
  return fallback;
}

bool Field::is_number() const { return is(Value::Kind::scalar) && value_->plain && is_decimal(value_->text); }

std::optional<uint64_t> Field::number(uint64_t min, uint64_t max) const {
  if (!*this) return {};
  std::optional<uint64_t> value = is_number() ? parse_uint(value_->text) : std::nullopt;
  if (value && *value >= min && *value <= max) return value;
  error(fmt::format("must be a number from {} to {}", min, max));
  return {};
}

std::optional<uint16_t> Field::port() const {
  std::optional<uint64_t> value = number(1, 65535);
  return value ? std::optional(static_cast<uint16_t>(*value)) : std::nullopt;
}

std::optional<Ip> Field::ip() const {
  if (!*this) return {};
  std::string got = text();
  std::optional<Ip> value = Ip::parse(got);
  if (!value) error("must be an IP address, not " + in_quotes(got));
  return value;
}

std::optional<Cidr> Field::cidr() const {
  if (!*this) return {};
  std::string got = text();
  std::optional<Cidr> value = Cidr::parse(got);
  if (!value) error("must be an IP address or a prefix like 10.0.0.0/24, not " + in_quotes(got));
  return value;
}

void Field::ignore() const {
  if (value_ != nullptr) mark_all(*value_);
}

void Field::refuse_unknown() const {
  if (value_ == nullptr) return;
  for (const Value& value : value_->values) {
    if (value.read)
      Field(*reading_, &value, value_, {}).refuse_unknown();
    else
      Field(*reading_, &value, value_, {}).error("unknown field");
  }
}

}  // namespace ambientd::config
