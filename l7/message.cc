// SPDX-License-Identifier: Apache-2.0
#include "l7/message.h"

#include <algorithm>

#include "core/text.h"

namespace ambientd::l7 {

bool Request::is_grpc() const {
  constexpr std::string_view kGrpc = "application/grpc";
  std::string_view type = http1::find(fields, "content-type").value_or("");
  if (!type.starts_with(kGrpc)) return false;
  return type.size() == kGrpc.size() || type[kGrpc.size()] == '+' || type[kGrpc.size()] == ';';
}

std::string_view Request::path_only() const { return std::string_view(path).substr(0, path.find('?')); }

std::string_view Request::query() const {
  size_t at = path.find('?');
  return at == std::string::npos ? std::string_view() : std::string_view(path).substr(at + 1);
}

std::optional<int> grpc_status_in(const Fields& fields) {
  std::optional<std::string_view> text = http1::find(fields, "grpc-status");
  std::optional<uint64_t> status = text ? parse_uint(*text) : std::nullopt;
  if (!status) return {};
  return static_cast<int>(*status);
}

void set_field(Fields& fields, std::string_view name, std::string_view value) {
  auto first = std::ranges::find(fields, name, &http1::Field::name);
  if (first == fields.end()) return add_field(fields, name, value);
  first->value = value;
  fields.erase(std::remove_if(first + 1, fields.end(), [&](const http1::Field& f) { return f.name == name; }),
               fields.end());
}

void add_field(Fields& fields, std::string_view name, std::string_view value) {
  fields.push_back({std::string(name), std::string(value)});
}

void remove_field(Fields& fields, std::string_view name) {
  std::erase_if(fields, [&](const http1::Field& field) { return field.name == name; });
}

}  // namespace ambientd::l7
