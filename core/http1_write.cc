// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <ctime>

#include "core/http1.h"
#include "core/http1_grammar.h"
#include "core/text.h"

namespace ambientd::http1 {
namespace {

// Written from the members of Head, so a forwarded field can never contradict them.
constexpr std::string_view kOurs[] = {"connection", "keep-alive", "proxy-connection", "transfer-encoding",
                                      "upgrade"};

bool is_ours(const Head& head, std::string_view name) {
  auto same = [&](std::string_view ours) { return equals_ignore_case(ours, name); };
  bool framed = head.framing == Framing::length || head.framing == Framing::chunked;
  return std::ranges::any_of(kOurs, same) || (framed && same("content-length"));
}

std::unexpected<Error> unsendable(std::string_view what, std::string_view text) {
  return fail(Errc::invalid, fmt::format("HTTP/1 {} cannot be sent: {}", what, quoted(text)));
}

Status append_field(std::string& out, const Field& field) {
  if (!is_token(field.name)) return unsendable("field name", field.name);
  if (!is_field_value(field.value)) return unsendable("field value", field.value);
  out.append(field.name).append(": ").append(field.value).append("\r\n");
  return {};
}

bool is_target(std::string_view text) {
  return !text.empty() && is_field_value(text) && text.find_first_of(" \t") == std::string_view::npos;
}

Result<std::string> start_line(const Head& head) {
  std::string_view version = head.version < 11 ? "HTTP/1.0" : "HTTP/1.1";
  if (head.status != 0) {
    if (head.status < 100 || head.status > 999) return unsendable("status", fmt::to_string(head.status));
    if (!is_field_value(head.reason)) return unsendable("reason", head.reason);
    return fmt::format("{} {} {}\r\n", version, head.status, head.reason);
  }
  if (!is_token(head.method)) return unsendable("method", head.method);
  if (!is_target(head.target)) return unsendable("target", head.target);
  return fmt::format("{} {} {}\r\n", head.method, head.target, version);
}

Status append_connection(std::string& out, const Head& head) {
  if (!head.upgrade.empty()) {
    out.append("connection: upgrade\r\n");
    return append_field(out, {"upgrade", head.upgrade});
  }
  if (!head.keep_alive) out.append("connection: close\r\n");
  if (head.keep_alive && head.version < 11) out.append("connection: keep-alive\r\n");
  return {};
}

}  // namespace

Result<std::string> write_head(const Head& head) {
  Result<std::string> out = start_line(head);
  if (!out) return out;
  for (const Field& field : head.fields) {
    if (is_ours(head, field.name)) continue;
    if (Status added = append_field(*out, field); !added) return std::unexpected(added.error());
  }
  if (head.framing == Framing::length) out->append(fmt::format("content-length: {}\r\n", head.length));
  if (head.framing == Framing::chunked) out->append("transfer-encoding: chunked\r\n");
  if (Status added = append_connection(*out, head); !added) return std::unexpected(added.error());
  out->append("\r\n");
  return out;
}

std::string chunk_header(size_t n) { return fmt::format("{:x}\r\n", n); }

Result<std::string> last_chunk(const Fields& trailers) {
  std::string out("0\r\n");
  for (const Field& field : trailers) {
    if (!may_trail(to_lower(field.name))) return unsendable("trailer", field.name);
    if (Status added = append_field(out, field); !added) return std::unexpected(added.error());
  }
  return out.append("\r\n");
}

std::string http_date(int64_t seconds) {
  constexpr std::string_view kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr std::string_view kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                          "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  std::time_t time = seconds;
  std::tm utc{};
  gmtime_r(&time, &utc);
  return fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT", kDays[utc.tm_wday], utc.tm_mday,
                     kMonths[utc.tm_mon], utc.tm_year + 1900, utc.tm_hour, utc.tm_min, utc.tm_sec);
}

std::string_view reason_phrase(int status) {
  switch (status) {
    case 100:
      return "Continue";
    case 101:
      return "Switching Protocols";
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 206:
      return "Partial Content";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 303:
      return "See Other";
    case 304:
      return "Not Modified";
    case 307:
      return "Temporary Redirect";
    case 308:
      return "Permanent Redirect";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 413:
      return "Payload Too Large";
    case 426:
      return "Upgrade Required";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    default:
      return "";
  }
}

}  // namespace ambientd::http1
