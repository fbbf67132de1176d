// SPDX-License-Identifier: Apache-2.0
#include "core/yaml_text.h"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <nlohmann/json.hpp>

namespace ambientd {
namespace {

using nlohmann::json;

constexpr size_t kStep = 2;  // spaces
constexpr std::string_view kWords[] = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"};

// Letters first, and nothing after them that YAML knows: everything else is quoted, needed or not.
bool is_plain(const std::string& text) {
  auto safe = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || std::strchr("-_./", c); };
  if (text.empty() || !std::isalpha(static_cast<unsigned char>(text[0]))) return false;
  if (!std::ranges::all_of(text, safe)) return false;
  std::string lower;
  for (char c : text) lower.push_back(static_cast<char>(std::tolower(static_cast<unsigned char>(c))));
  return std::ranges::find(kWords, lower) == std::end(kWords);
}

std::string scalar(const json& value) {
  if (value.is_string() && is_plain(value.get_ref<const std::string&>())) return value.get<std::string>();
  return value.dump(-1, ' ', false, json::error_handler_t::replace);  // JSON's scalars are YAML's
}

bool is_block(const json& value) { return value.is_structured() && !value.empty(); }

void write(std::string& out, const json& value, size_t indent);

// After `key:` or `-`, which stand at `indent`.
void write_after(std::string& out, const json& value, size_t indent, bool in_list) {
  if (!is_block(value)) {
    out.append(" ").append(scalar(value)).append("\n");
  } else if (in_list) {
    std::string inner;
    write(inner, value, indent + kStep);
    out.append(" ").append(inner.substr(indent + kStep));  // its first line stands behind the dash
  } else {
    out.append("\n");
    write(out, value, value.is_array() ? indent : indent + kStep);
  }
}

void write(std::string& out, const json& value, size_t indent) {
  if (!is_block(value)) {
    out.append(scalar(value)).append("\n");
  } else if (value.is_array()) {
    for (const json& each : value) {
      out.append(indent, ' ').append("-");
      write_after(out, each, indent, true);
    }
  } else {
    for (const auto& [key, each] : value.items()) {
      out.append(indent, ' ').append(scalar(json(key))).append(":");
      write_after(out, each, indent, false);
    }
  }
}

}  // namespace

std::string yaml_text(const json& value) {
  std::string out;
  write(out, value, 0);
  return out;
}

}  // namespace ambientd
