// SPDX-License-Identifier: Apache-2.0
#include "l7/http1_message.h"

#include "core/text.h"
#include "l7/path.h"

namespace ambientd::l7 {
namespace {

using http1::Framing;
using http1::Head;

std::optional<uint64_t> declared_length(const Fields& fields) {
  std::optional<std::string_view> text = http1::find(fields, "content-length");
  return text ? parse_uint(*text) : std::nullopt;
}

bool has_body(const Head& head) {
  return head.framing == Framing::chunked || (head.framing == Framing::length && head.length > 0);
}

// The only upgrade that is proxied; h2c reads as none.
std::expected<std::string, Cause> upgrade_of(const Head& head) {
  if (head.upgrade.empty() || equals_ignore_case(head.upgrade, "h2c")) return "";
  if (equals_ignore_case(head.upgrade, "websocket") && head.method == "GET" && !has_body(head))
    return "websocket";
  return std::unexpected(Cause::upgrade_refused);
}

}  // namespace

std::expected<Request, Cause> to_request(Head head) {
  if (head.version < 11) return std::unexpected(Cause::low_version);
  if (head.method == "CONNECT") return std::unexpected(Cause::upgrade_refused);
  std::optional<RequestTarget> target = split_target(head.target);
  if (!target) return std::unexpected(Cause::bad_request);
  std::expected<std::string, Cause> upgrade = upgrade_of(head);
  if (!upgrade) return std::unexpected(upgrade.error());
  Request request;
  request.protocol = Protocol::http1;
  request.method = std::move(head.method);
  request.authority = std::move(target->authority);
  if (request.authority.empty()) request.authority = http1::find(head.fields, "host").value_or("");
  request.path = std::move(target->path);
  if (head.framing == Framing::length) request.content_length = head.length;
  request.has_body = has_body(head);
  request.expect_continue = head.expect_continue;
  request.upgrade = std::move(*upgrade);
  request.fields = std::move(head.fields);
  return request;
}

Head to_head(const Request& request) {
  Head head;
  head.method = request.method;
  head.target = request.path;
  head.fields.reserve(request.fields.size() + 1);
  head.fields.push_back({"host", request.authority});
  head.fields.insert(head.fields.end(), request.fields.begin(), request.fields.end());
  head.upgrade = request.upgrade;
  head.expect_continue = request.expect_continue;
  if (request.has_body) {
    head.framing = request.content_length ? Framing::length : Framing::chunked;
    head.length = request.content_length.value_or(0);
  }
  return head;
}

Response to_response(Head head) {
  Response response;
  response.status = head.status;
  response.has_body = has_body(head) || head.framing == Framing::until_close;
  response.content_length = declared_length(head.fields);
  response.fields = std::move(head.fields);
  return response;
}

Head to_head(const Response& response, bool to_head_request, bool keep_alive) {
  Head head;
  head.status = response.status;
  head.reason = http1::reason_phrase(response.status);
  head.fields = response.fields;
  head.keep_alive = keep_alive;
  int status = response.status;
  bool bodyless = to_head_request || status < 200 || status == 204 || status == 304;
  if (status == 101) {
    head.upgrade = "websocket";
    head.framing = Framing::tunnel;
  } else if (!bodyless && (response.content_length || !response.has_body)) {
    head.framing = Framing::length;
    head.length = response.has_body ? *response.content_length : 0;
  } else if (!bodyless) {
    head.framing = Framing::chunked;
  }
  return head;
}

Cause cause_of_refusal(int status) {
  if (status == 431) return Cause::headers_too_large;
  if (status == 501) return Cause::bad_transfer_encoding;
  return Cause::bad_request;
}

}  // namespace ambientd::l7
