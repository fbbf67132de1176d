// SPDX-License-Identifier: Apache-2.0
#include "l7/http2_message.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/text.h"
#include "hbone/connect.h"
#include "l7/request_headers.h"

namespace ambientd::l7 {
namespace {

// The handshake fields of RFC 6455 that HTTP/2 does without.
bool is_websocket_key(std::string_view name) {
  return name == "sec-websocket-key" || name == "sec-websocket-accept";
}

void append(hbone::Headers& section, const Fields& fields) {
  for (const http1::Field& field : fields) {
    if (!is_hop_by_hop(field.name) && field.name != "host") section.emplace_back(field.name, field.value);
  }
}

}  // namespace

Fields to_fields(const hbone::Headers& section) {
  Fields fields;
  fields.reserve(section.size());
  for (const auto& [name, value] : section) {
    if (!name.starts_with(':')) fields.push_back({name, value});
  }
  return fields;
}

hbone::Headers to_section(const Fields& fields) {
  hbone::Headers section;
  append(section, fields);
  return section;
}

std::expected<Request, Cause> to_request(const hbone::Headers& section, bool ended) {
  Request request;
  request.protocol = Protocol::http2;
  request.method = hbone::find(section, ":method").value_or("");
  if (request.method == "CONNECT") {
    if (hbone::find(section, ":protocol") != "websocket") return std::unexpected(Cause::upgrade_refused);
    request.method = "GET";
    request.upgrade = "websocket";
  }
  request.scheme = hbone::find(section, ":scheme").value_or("http");
  request.path = hbone::find(section, ":path").value_or("");
  request.fields = to_fields(section);
  request.authority = hbone::find(section, ":authority").value_or("");
  if (request.authority.empty()) request.authority = hbone::find(section, "host").value_or("");
  if (std::optional<std::string_view> length = hbone::find(section, "content-length"))
    request.content_length = parse_uint(*length);
  request.has_body = !ended && request.upgrade.empty();
  // An HTTP/1.1 upgrade has no body: a length here would swallow the next request on the connection.
  if (!request.upgrade.empty()) {
    remove_field(request.fields, "content-length");
    request.content_length.reset();
  }
  request.expect_continue = hbone::find(section, "expect") == "100-continue";
  return request;
}

hbone::Headers to_section(const Request& request) {
  hbone::Headers section;
  section.reserve(request.fields.size() + 5);
  bool upgrades = !request.upgrade.empty();
  section.emplace_back(":method", upgrades ? "CONNECT" : request.method);
  if (upgrades) section.emplace_back(":protocol", request.upgrade);
  section.emplace_back(":scheme", request.scheme);
  section.emplace_back(":authority", request.authority);
  section.emplace_back(":path", request.path);
  append(section, request.fields);
  if (upgrades) std::erase_if(section, [](const auto& field) { return is_websocket_key(field.first); });
  return section;
}

Result<Response> to_response(const hbone::Headers& section, bool ended) {
  Response response;
  response.status = hbone::status_of(section);
  if (response.status < 100) return fail(Errc::bad_request, "HTTP/2 response without a status");
  response.fields = to_fields(section);
  response.has_body = !ended && response.status >= 200;
  if (std::optional<std::string_view> length = hbone::find(section, "content-length"))
    response.content_length = parse_uint(*length);
  return response;
}

hbone::Headers to_section(const Response& response) {
  hbone::Headers section;
  section.reserve(response.fields.size() + 1);
  bool upgraded = response.status == 101;
  section.emplace_back(":status", fmt::to_string(upgraded ? 200 : response.status));
  append(section, response.fields);
  if (upgraded) std::erase_if(section, [](const auto& field) { return is_websocket_key(field.first); });
  return section;
}

}  // namespace ambientd::l7
