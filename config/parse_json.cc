// SPDX-License-Identifier: Apache-2.0
#include <istream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "config/parsers.h"

namespace ambientd::config {
namespace {

struct Position {
  int line = 1;
  char last = 0;
  // The parser has read one byte past a number; when that was the line's end the value is one line up.
  int of_value() const { return last == '\n' ? line - 1 : line; }
};

// Hands bytes to the parser and counts lines as they go by.
class Bytes {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = char;

  Bytes() = default;
  Bytes(std::istream& in, Position& at) : it_(in), at_(&at) {}
  char operator*() const { return *it_; }
  Bytes& operator++() {
    at_->last = *it_;
    if (at_->last == '\n') ++at_->line;
    ++it_;
    return *this;
  }
  Bytes operator++(int) {
    Bytes before = *this;
    ++*this;
    return before;
  }
  bool operator==(const Bytes& other) const { return it_ == other.it_; }

 private:
  std::istreambuf_iterator<char> it_;
  Position* at_ = nullptr;
};

class Events final : public nlohmann::json_sax<nlohmann::json> {
 public:
  Events(TreeBuilder& builder, const Position& at) : builder_(builder), at_(at) {}

  bool null() override { return builder_.null(at_.of_value()), true; }
  bool boolean(bool value) override { return word(value ? "true" : "false"); }
  bool number_integer(number_integer_t value) override { return word(std::to_string(value)); }
  bool number_unsigned(number_unsigned_t value) override { return word(std::to_string(value)); }
  bool number_float(number_float_t, const string_t& text) override { return word(text); }
  bool string(string_t& text) override { return builder_.scalar(at_.of_value(), text, false), true; }
  bool binary(binary_t&) override { return false; }
  bool start_object(size_t) override { return builder_.begin(Value::Kind::map, at_.of_value()), true; }
  bool key(string_t& text) override { return builder_.scalar(at_.of_value(), text, false), true; }
  bool end_object() override { return builder_.end(), true; }
  bool start_array(size_t) override { return builder_.begin(Value::Kind::list, at_.of_value()), true; }
  bool end_array() override { return builder_.end(), true; }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& e) override {
    std::string_view what = e.what();
    throw Fault{at_.line, "this is not JSON: " + std::string(what.substr(what.find("] ") + 2))};
  }

 private:
  bool word(std::string_view text) { return builder_.scalar(at_.of_value(), text, true), true; }
  TreeBuilder& builder_;
  const Position& at_;
};

}  // namespace

std::expected<void, Fault> read_json(std::istream& in, TreeBuilder& builder) {
  try {
    Position at;
    Events events(builder, at);
    builder.begin_document();
    nlohmann::json::sax_parse(Bytes(in, at), Bytes(), &events);
    builder.end_document();
    return {};
  } catch (const Fault& fault) {
    return std::unexpected(fault);
  }
}

}  // namespace ambientd::config
