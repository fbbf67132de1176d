// SPDX-License-Identifier: Apache-2.0
#include "policy/json.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <unordered_set>

namespace ambientd::policy {
namespace {

// Builds the tree out of the parser's events. Any `false` ends the parse.
class Builder final : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool null() override { return add({}); }
  bool boolean(bool value) override { return add({.kind = Json::Kind::boolean, .flag = value}); }
  bool number_integer(number_integer_t value) override { return integer(value); }
  bool number_unsigned(number_unsigned_t value) override {
    if (value <= static_cast<number_unsigned_t>(std::numeric_limits<int64_t>::max()))
      return integer(static_cast<int64_t>(value));
    return add({.kind = Json::Kind::number, .number = static_cast<double>(value)});
  }
  bool number_float(number_float_t value, const string_t&) override {
    return add({.kind = Json::Kind::number, .number = value});
  }
  bool string(string_t& value) override {
    return add({.kind = Json::Kind::string, .text = std::move(value)});
  }
  bool binary(binary_t&) override { return false; }
  bool start_object(size_t) override { return begin(Json::Kind::object); }
  bool key(string_t& name) override {
    if (!open_.back().names.insert(name).second) return false;
    open_.back().value.keys.push_back(std::move(name));
    return true;
  }
  bool end_object() override { return end(); }
  bool start_array(size_t) override { return begin(Json::Kind::list); }
  bool end_array() override { return end(); }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception&) override { return false; }

  Json take() { return std::move(root_); }

 private:
  struct Open {
    Json value;
    std::unordered_set<std::string> names;
  };

  bool integer(int64_t value) {
    return add({.kind = Json::Kind::integer, .integer = value, .number = static_cast<double>(value)});
  }
  bool begin(Json::Kind kind) {
    if (open_.size() == kMaxJsonDepth) return false;
    open_.push_back({{.kind = kind}, {}});
    return true;
  }
  bool end() {
    Json done = std::move(open_.back().value);
    open_.pop_back();
    return add(std::move(done));
  }
  bool add(Json value) {
    if (++count_ > kMaxJsonValues) return false;
    if (open_.empty())
      root_ = std::move(value);
    else
      open_.back().value.values.push_back(std::move(value));
    return true;
  }

  std::vector<Open> open_;
  Json root_;
  size_t count_ = 0;
};

}  // namespace

const Json* Json::find(std::string_view key) const {
  for (size_t i = 0; i < keys.size(); ++i)
    if (keys[i] == key) return &values[i];
  return nullptr;
}

std::optional<std::string_view> Json::text_of(std::string_view key) const {
  const Json* member = find(key);
  return member && member->is(Kind::string) ? std::optional<std::string_view>(member->text) : std::nullopt;
}

std::optional<Json> parse_json(std::string_view text) {
  Builder builder;
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &builder)) return {};
  return builder.take();
}

}  // namespace ambientd::policy
