// SPDX-License-Identifier: Apache-2.0
#include "l7/request_headers.h"

#include <algorithm>
#include <array>
#include <cstdlib>

#include "core/random.h"
#include "core/text.h"
#include "l7/path.h"

namespace ambientd::l7 {
namespace {

constexpr size_t kMaxNominated = 9;  // contract/waypoint.md §3.1

constexpr std::array kHopByHop = std::to_array<std::string_view>(
    {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"});

// Steer an Envoy, or say what one did: never a client's to set (contract/waypoint.md §3.1; CVE-2023-27487).
constexpr std::array kInternal = std::to_array<std::string_view>(
    {"x-envoy-retry-on", "x-envoy-retry-grpc-on", "x-envoy-max-retries", "x-envoy-retriable-status-codes",
     "x-envoy-retriable-header-names", "x-envoy-hedge-on-per-try-timeout", "x-envoy-upstream-alt-stat-name",
     "x-envoy-upstream-rq-timeout-ms", "x-envoy-upstream-rq-per-try-timeout-ms",
     "x-envoy-upstream-rq-timeout-alt-response", "x-envoy-expected-rq-timeout-ms", "x-envoy-force-trace",
     "x-envoy-ip-tags", "x-envoy-internal", "x-envoy-original-path", "x-forwarded-client-cert"});

template <size_t N>
bool is_one_of(std::string_view name, const std::array<std::string_view, N>& names) {
  return std::ranges::find(names, name) != names.end();
}

bool frames_a_message(std::string_view name) {
  return name.empty() || name.starts_with(':') || name == "content-length" || is_hop_by_hop(name);
}

// Nominating these would hide where a request came from, or change where it ends.
bool may_not_be_nominated(std::string_view name) {
  return name.starts_with("x-forwarded-") || name.starts_with(':') || name == "host" ||
         name == "content-length";
}

std::vector<std::string> tokens_of(const Fields& fields, std::string_view name) {
  std::vector<std::string> out;
  for (const http1::Field& field : fields) {
    if (field.name != name) continue;
    for (std::string_view part : split(field.value, ','))
      if (std::string_view token = trim(part); !token.empty()) out.push_back(to_lower(token));
  }
  return out;
}

// te survives as `trailers` or not at all.
void reduce_te(Fields& fields) {
  std::vector<std::string> codings = tokens_of(fields, "te");
  bool trailers = std::ranges::find(codings, "trailers") != codings.end();
  remove_field(fields, "te");
  if (trailers) add_field(fields, "te", "trailers");
}

bool remove_nominated(Fields& fields) {
  std::vector<std::string> nominated = tokens_of(fields, "connection");
  if (nominated.size() > kMaxNominated || std::ranges::any_of(nominated, may_not_be_nominated)) return false;
  for (const std::string& name : nominated)
    if (name != "te" && name != "close") remove_field(fields, name);
  return true;
}

void join_cookies(Fields& fields) {
  std::string joined;
  size_t lines = 0;
  for (const http1::Field& field : fields)
    if (field.name == "cookie") joined.append(lines++ == 0 ? "" : "; ").append(field.value);
  if (lines > 1) set_field(fields, "cookie", joined);
}

// h2c is an offer that may be left unanswered (RFC 9110 §7.8), unlike other upgrades.
bool accept_upgrade(Request& request) {
  if (equals_ignore_case(request.upgrade, "h2c")) request.upgrade.clear();
  if (request.upgrade.empty()) return request.method != "CONNECT";
  return equals_ignore_case(request.upgrade, "websocket");
}

void add_defaults(Request& request) {
  if (!http1::find(request.fields, "x-forwarded-proto"))
    add_field(request.fields, "x-forwarded-proto", "http");
  std::string_view proto = *http1::find(request.fields, "x-forwarded-proto");
  request.scheme = equals_ignore_case(proto, "https") ? "https" : "http";
  if (http1::find(request.fields, "x-request-id").value_or("").empty())
    set_field(request.fields, "x-request-id", new_request_id());
}

template <class Refused>
void apply(const config::HeaderOps& ops, Fields& fields, Refused refused) {
  for (const std::string& given : ops.remove)
    if (std::string name = to_lower(given); !refused(name)) remove_field(fields, name);
  for (const auto& [given, value] : ops.set)
    if (std::string name = to_lower(given); !refused(name)) set_field(fields, name, value);
  for (const auto& [given, value] : ops.add)
    if (std::string name = to_lower(given); !refused(name)) add_field(fields, name, value);
}

}  // namespace

bool is_hop_by_hop(std::string_view name) { return is_one_of(name, kHopByHop); }

std::expected<void, Cause> clean_request(Request& request) {
  if (request.authority.empty()) return std::unexpected(Cause::missing_host);
  if (!accept_upgrade(request)) return std::unexpected(Cause::upgrade_refused);
  std::optional<std::string> path = normalize_path(request.path);
  if (!path || (*path == "*" && request.method != "OPTIONS")) return std::unexpected(Cause::bad_path);
  request.path = std::move(*path);
  if (!remove_nominated(request.fields)) return std::unexpected(Cause::bad_connection_header);
  std::erase_if(request.fields, [](const http1::Field& field) {
    return is_hop_by_hop(field.name) || is_one_of(field.name, kInternal) || field.name == "host" ||
           field.name == "http2-settings";
  });
  reduce_te(request.fields);
  join_cookies(request.fields);
  add_defaults(request);
  return {};
}

void apply(const config::HeaderOps& ops, Request& request) {
  apply(ops, request.fields, [](std::string_view name) { return name == "host" || frames_a_message(name); });
  for (const auto& [name, value] : ops.set)
    if (equals_ignore_case(name, "host") || name == ":authority") request.authority = value;
}

void apply(const config::HeaderOps& ops, Fields& fields) { apply(ops, fields, frames_a_message); }

std::optional<Ip> forwarded_address(const Request& request) {
  std::string_view last;
  for (const http1::Field& field : request.fields)
    if (field.name == "x-forwarded-for") last = field.value;
  size_t comma = last.rfind(',');
  return Ip::parse(trim(comma == std::string_view::npos ? last : last.substr(comma + 1)));
}

std::string new_request_id() {
  std::array<uint8_t, 16> bytes;
  random_bytes(bytes);
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  std::string digits = hex({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  for (size_t dash : {8, 13, 18, 23}) digits.insert(dash, 1, '-');
  return digits;
}

}  // namespace ambientd::l7
