// SPDX-License-Identifier: Apache-2.0
#include "l7/token.h"

#include <algorithm>
#include <optional>

#include "core/text.h"
#include "l7/path.h"

namespace ambientd::l7 {
namespace {

constexpr std::string_view kTokenBytes = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";

// What follows the prefix, from the first byte that a token may hold; the whole value when there is none, so
// that it is refused and not passed over.
std::optional<std::string_view> token_in(std::string_view value, std::string_view prefix) {
  if (prefix.empty()) return value;
  size_t at = value.find(prefix);
  if (at == value.npos) return {};
  size_t begin = value.find_first_of(kTokenBytes, at + prefix.size());
  return begin == value.npos ? value : value.substr(begin);
}

void find_in_headers(const policy::TokenHeader& header, const Request& request,
                     std::vector<std::string>* out) {
  for (const http1::Field& field : request.fields)
    if (field.name == header.name)
      if (std::optional<std::string_view> token = token_in(field.value, header.prefix))
        out->emplace_back(*token);
}

void find_in_query(const std::string& name, const Request& request, std::vector<std::string>* out) {
  if (request.query().empty()) return;
  for (std::string_view part : split(request.query(), '&')) {
    size_t equals = std::min(part.find('='), part.size());
    if (percent_decoded(part.substr(0, equals)) != name) continue;
    out->push_back(percent_decoded(part.substr(std::min(equals + 1, part.size()))));
  }
}

void find_in_cookies(const std::string& name, const Request& request, std::vector<std::string>* out) {
  for (const http1::Field& field : request.fields) {
    if (field.name != "cookie") continue;
    for (std::string_view pair : split(field.value, ';')) {
      size_t equals = pair.find('=');
      if (equals == pair.npos || trim(pair.substr(0, equals)) != name) continue;
      std::string_view value = trim(pair.substr(equals + 1));
      if (value.size() >= 2 && value.starts_with('"') && value.ends_with('"'))
        value = value.substr(1, value.size() - 2);
      out->emplace_back(value);
    }
  }
}

bool has(const Request& request, std::string_view name) {
  return !http1::find(request.fields, name).value_or("").empty();
}

}  // namespace

std::vector<std::string> find_tokens(const policy::JwtRule& rule, const Request& request) {
  std::vector<std::string> out;
  for (const policy::TokenHeader& header : rule.headers) find_in_headers(header, request, &out);
  for (const std::string& name : rule.params) find_in_query(name, request, &out);
  for (const std::string& name : rule.cookies) find_in_cookies(name, request, &out);
  return out;
}

void remove_tokens(const policy::JwtRule& rule, Request& request) {
  for (const policy::TokenHeader& header : rule.headers)
    std::erase_if(request.fields, [&](const http1::Field& field) {
      return field.name == header.name && token_in(field.value, header.prefix).has_value();
    });
}

bool is_cors_preflight(const Request& request) {
  return request.method == "OPTIONS" && has(request, "origin") &&
         has(request, "access-control-request-method");
}

}  // namespace ambientd::l7
