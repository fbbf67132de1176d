// SPDX-License-Identifier: Apache-2.0
#include "l7/access_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <nlohmann/json.hpp>

namespace ambientd::l7 {
namespace {

using Json = nlohmann::ordered_json;

// What could end a field or a line, or move a terminal's cursor.
bool is_special(char c) {
  auto byte = static_cast<unsigned char>(c);
  return c == '"' || c == '\\' || byte < 0x20 || byte == 0x7f;
}

// A line grows field by field; every field is one word, or stands in quotes that nothing inside can close.
class Line {
 public:
  Line() { text_.reserve(512); }

  Line& raw(std::string_view text) {
    text_ += text;
    return *this;
  }
  Line& number(uint64_t value) { return raw(fmt::format_int(value).c_str()); }
  Line& word(std::string_view text) {
    if (text.empty()) return raw("-");
    for (char c : text) escape(c == ' ' ? '_' : c);
    return *this;
  }
  // A part of a quoted field.
  Line& quoted(std::string_view text) {
    if (text.empty()) return raw("-");
    if (std::ranges::none_of(text, is_special)) return raw(text);
    for (char c : text) escape(c);
    return *this;
  }
  std::string take() { return std::move(text_); }

 private:
  void escape(char c) {
    if (!is_special(c))
      text_ += c;
    else if (c == '"' || c == '\\')
      text_.append({'\\', c});
    else
      text_ += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  }

  std::string text_;
};

std::string start_time(std::chrono::system_clock::time_point start) {
  auto since = std::chrono::duration_cast<std::chrono::milliseconds>(start.time_since_epoch());
  time_t seconds = since.count() / 1000;
  tm utc{};
  gmtime_r(&seconds, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", utc.tm_year + 1900, utc.tm_mon + 1,
                     utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, since.count() % 1000);
}

std::string_view protocol_name(const RequestLog& log) {
  if (!log.protocol) return "";
  return *log.protocol == Protocol::http1 ? "HTTP/1.1" : "HTTP/2";
}

std::string address(const std::optional<SockAddr>& given) { return given ? given->str() : ""; }

std::string upstream_host(const RequestLog& log) {
  if (!log.upstream) return "";
  return log.upstream_hbone ? "envoy://connect_originate/" + log.upstream->str() : log.upstream->str();
}

std::string upstream_local(const RequestLog& log) {
  if (log.upstream && log.upstream_hbone) return "envoy://internal_client_address/";
  return address(log.upstream_local);
}

std::string upstream_time(const RequestLog& log) {
  return log.upstream_time ? std::to_string(log.upstream_time->count()) : "";
}

uint64_t milliseconds(const RequestLog& log) {
  return static_cast<uint64_t>(std::max<int64_t>(log.duration.count(), 0));
}

void append_request(Line& line, const RequestLog& log) {
  line.raw("[").raw(start_time(log.start)).raw("] \"").quoted(log.method).raw(" ").quoted(log.path).raw(" ");
  line.quoted(protocol_name(log)).raw("\" ");
}

void append_outcome(Line& line, const RequestLog& log) {
  line.number(static_cast<uint64_t>(log.status)).raw(" ").word(log.flags).raw(" ").word(log.details).raw(" ");
  line.word(log.termination_details).raw(" \"").quoted(log.transport_failure).raw("\" ");
  line.number(log.bytes_received).raw(" ").number(log.bytes_sent).raw(" ").number(milliseconds(log)).raw(" ");
  line.word(upstream_time(log)).raw(" ");
}

void append_fields(Line& line, const RequestLog& log) {
  for (const std::string* field : {&log.forwarded_for, &log.user_agent, &log.request_id, &log.authority})
    line.raw("\"").quoted(*field).raw("\" ");
}

void append_ends(Line& line, const RequestLog& log) {
  line.raw("\"")
      .quoted(upstream_host(log))
      .raw("\" ")
      .word(log.cluster)
      .raw(" ")
      .word(upstream_local(log))
      .raw(" ");
  line.word(address(log.downstream_local)).raw(" ").word(address(log.downstream_remote)).raw(" ");
  line.word(log.server_name).raw(" ").word(log.route).raw("\n");
}

Json text_or_null(std::string_view text) { return text.empty() ? Json() : Json(text); }

}  // namespace

void describe(RequestLog& log, const Request& request) {
  log.protocol = request.protocol;
  log.method = request.method;
  log.path = request.path;
  log.authority = request.authority;
  log.forwarded_for = http1::find(request.fields, "x-forwarded-for").value_or("");
  log.user_agent = http1::find(request.fields, "user-agent").value_or("");
  log.request_id = http1::find(request.fields, "x-request-id").value_or("");
}

std::string text_line(const RequestLog& log) {
  Line line;
  append_request(line, log);
  append_outcome(line, log);
  append_fields(line, log);
  append_ends(line, log);
  return line.take();
}

std::string json_line(const RequestLog& log) {
  Json out;
  out["start_time"] = start_time(log.start);
  out["route_name"] = text_or_null(log.route);
  out["method"] = text_or_null(log.method);
  out["path"] = text_or_null(log.path);
  out["protocol"] = text_or_null(protocol_name(log));
  out["response_code"] = log.status;
  out["response_flags"] = log.flags.empty() ? "-" : log.flags;
  out["response_code_details"] = text_or_null(log.details);
  out["connection_termination_details"] = text_or_null(log.termination_details);
  out["bytes_received"] = log.bytes_received;
  out["bytes_sent"] = log.bytes_sent;
  out["duration"] = milliseconds(log);
  out["upstream_service_time"] = text_or_null(upstream_time(log));
  out["x_forwarded_for"] = text_or_null(log.forwarded_for);
  out["user_agent"] = text_or_null(log.user_agent);
  out["request_id"] = text_or_null(log.request_id);
  out["authority"] = text_or_null(log.authority);
  out["upstream_host"] = text_or_null(upstream_host(log));
  out["upstream_cluster"] = text_or_null(log.cluster);
  out["upstream_local_address"] = text_or_null(upstream_local(log));
  out["downstream_local_address"] = text_or_null(address(log.downstream_local));
  out["downstream_remote_address"] = text_or_null(address(log.downstream_remote));
  out["requested_server_name"] = text_or_null(log.server_name);
  out["upstream_transport_failure_reason"] = text_or_null(log.transport_failure);
  return out.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string cluster_name(bool bound, uint16_t port, bool http, std::string_view hostname) {
  if (!bound) return fmt::format("outbound|{}||{}", port, hostname);
  return fmt::format("inbound-vip|{}|{}|{}", port, http ? "http" : "tcp", hostname);
}

}  // namespace ambientd::l7
