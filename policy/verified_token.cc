// SPDX-License-Identifier: Apache-2.0
#include "policy/verified_token.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/text.h"

namespace ambientd::policy {
namespace {

using Kind = Json::Kind;
using Path = std::vector<std::string>;

// Their text is a list in every token (contract/waypoint.md §2.6).
bool is_space_delimited(const Path& path, const JwtRule& rule) {
  if (path.size() != 1) return false;
  return path[0] == "scope" || path[0] == "permission" ||
         std::ranges::find(rule.space_delimited, path[0]) != rule.space_delimited.end();
}

void add_words(const Path& path, std::string_view text, std::vector<Claim>* out) {
  for (std::string_view word : split(text, ' '))
    if (!word.empty()) out->push_back({path, std::string(word)});
}

void flatten(const Json& value, Path& path, const JwtRule& rule, std::vector<Claim>* out) {
  if (value.is(Kind::string) && is_space_delimited(path, rule)) return add_words(path, value.text, out);
  if (value.is(Kind::string)) out->push_back({path, value.text});
  if (value.is(Kind::list))
    for (const Json& each : value.values)
      if (each.is(Kind::string)) out->push_back({path, each.text});
  if (!value.is(Kind::object)) return;
  for (size_t i = 0; i < value.keys.size(); ++i) {
    path.push_back(value.keys[i]);
    flatten(value.values[i], path, rule, out);
    path.pop_back();
  }
}

const Json* find_claim(const Json& payload, std::string_view name) {
  if (const Json* whole = payload.find(name)) return whole;
  const Json* at = &payload;
  for (std::string_view part : split(name, '.'))
    if (at) at = at->find(part);
  return at;
}

bool is_header_value(std::string_view text) {
  return !text.empty() && trim(text).size() == text.size() &&
         std::ranges::none_of(text, [](unsigned char c) { return (c < ' ' && c != '\t') || c == 0x7f; });
}

}  // namespace

VerifiedToken::VerifiedToken(Jwt believed, const JwtRule& rule) : jwt(std::move(believed)) {
  Path path;
  flatten(jwt.payload, path, rule, &claims);
}

std::optional<std::string> VerifiedToken::header_value(std::string_view name) const {
  const Json* claim = find_claim(jwt.payload, name);
  if (!claim) return {};
  switch (claim->kind) {
    case Kind::string:
      return is_header_value(claim->text) ? std::optional(claim->text) : std::nullopt;
    case Kind::integer:
      return std::to_string(claim->integer);
    case Kind::number:
      return fmt::format("{:f}", claim->number);
    case Kind::boolean:
      return claim->flag ? "true" : "false";
    case Kind::null:
    case Kind::list:
    case Kind::object:
      return {};
  }
  return {};
}

}  // namespace ambientd::policy
