// SPDX-License-Identifier: Apache-2.0
#include "hbone/connect.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/random.h"
#include "core/text.h"

namespace ambientd::hbone {
namespace {

constexpr size_t kMaxHeader = 8192;  // bytes of one header we look into
constexpr size_t kMaxItem = 256;     // of one baggage value: a DNS name has 253 at most

void add(std::string& out, std::string_view key, std::string_view value) {
  if (value.empty()) return;
  if (!out.empty()) out += ',';
  ((out += key) += '=') += value;
}

// The type in `k8s.<type>.name`; empty when it is none that names a workload.
std::string_view workload_type_in(std::string_view key) {
  if (!key.starts_with("k8s.") || !key.ends_with(".name")) return {};
  for (std::string_view type : {"deployment", "cronjob", "pod", "job"})
    if (key.substr(4, key.size() - 4 - 5) == type) return type;
  return {};
}

}  // namespace

std::string Baggage::str() const {
  std::string out;
  out.reserve(256);
  add(out, "k8s.cluster.name", cluster);
  add(out, "k8s.namespace.name", ns);
  add(out, "k8s." + workload_type + ".name", workload_name);
  add(out, "service.name", service_name);
  add(out, "service.version", service_version);
  add(out, "cloud.region", region);
  add(out, "cloud.availability_zone", zone);
  return out;
}

Baggage Baggage::parse(std::string_view header) {
  Baggage out;
  std::string_view left = header.substr(0, kMaxHeader);
  while (!left.empty()) {
    std::string_view item = left.substr(0, left.find(','));
    left.remove_prefix(std::min(item.size() + 1, left.size()));
    size_t equals = item.find('=');
    if (equals == item.npos) continue;
    std::string_view key = item.substr(0, equals);
    std::string value(item.substr(equals + 1, item.find('=', equals + 1) - equals - 1).substr(0, kMaxItem));
    if (key == "k8s.cluster.name") out.cluster = value;
    if (key == "k8s.namespace.name") out.ns = value;
    if (key == "service.name") out.service_name = value;
    if (key == "service.version") out.service_version = value;
    if (key == "cloud.region") out.region = value;
    if (key == "cloud.availability_zone") out.zone = value;
    if (std::string_view type = workload_type_in(key); !type.empty()) {
      out.workload_type = type;
      out.workload_name = value;
    }
  }
  return out;
}

Headers Connect::headers() && {
  Headers out;
  out.reserve(6);
  out.emplace_back(":method", "CONNECT");
  out.emplace_back(":authority", std::move(authority));
  if (baggage) out.emplace_back("baggage", std::move(*baggage));
  if (forwarded) out.emplace_back("forwarded", std::move(*forwarded));
  if (traceparent) out.emplace_back("traceparent", std::move(*traceparent));
  if (forwarded_network) out.emplace_back("x-forwarded-network", std::move(*forwarded_network));
  return out;
}

Result<Connect> Connect::parse(const Headers& headers) {
  std::string_view method = find(headers, ":method").value_or("");
  if (method != "CONNECT") {
    return fail(Errc::bad_request, fmt::format("expected method CONNECT, got {}", method.substr(0, 32)));
  }
  std::string_view authority = find(headers, ":authority").value_or("");
  if (authority.size() > 300 || !parse_host_port(authority)) {
    return fail(Errc::bad_request,
                fmt::format("no valid authority pseudo header: {}", quoted(authority.substr(0, 100))));
  }
  auto take = [&headers](std::string_view name) {
    std::optional<std::string_view> value = find(headers, name);
    return value ? std::optional<std::string>(value->substr(0, kMaxHeader)) : std::nullopt;
  };
  return Connect{std::string(authority), take("baggage"), take("forwarded"), take("traceparent"),
                 take("x-forwarded-network")};
}

std::string forwarded_for(const SockAddr& source, std::string_view host) {
  std::string out;
  out.reserve(64 + host.size());
  ((out += "for=\"") += source.str()) += '"';
  if (!host.empty()) (out += ";host=") += host;
  return out;
}

std::optional<std::string> forwarded_host(std::string_view header) {
  header = header.substr(0, kMaxHeader);
  if (!std::ranges::all_of(header, [](char c) { return c >= 0x20 && c < 0x7f; })) return {};
  for (std::string_view item : split(header, ';')) {
    item = trim(item);
    if (!item.starts_with("host=")) continue;
    item.remove_prefix(5);
    if (item.size() >= 2 && item.front() == '"' && item.back() == '"') item = item.substr(1, item.size() - 2);
    if (item.empty()) return {};
    return std::string(item);
  }
  return {};
}

std::string new_traceparent() {
  std::array<uint8_t, 16 + 8> ids;
  random_bytes(ids);
  std::string_view raw(reinterpret_cast<const char*>(ids.data()), ids.size());
  return fmt::format("00-{}-{}-00", hex(raw.substr(0, 16)), hex(raw.substr(16)));
}

int status_of(const Headers& headers) {
  std::string_view status = find(headers, ":status").value_or("");
  return status.size() == 3 ? static_cast<int>(parse_uint(status).value_or(0)) : 0;
}

std::string status_text(int status) {
  switch (status) {
    case 400:
      return "400 Bad Request";
    case 401:
      return "401 Unauthorized";
    case 403:
      return "403 Forbidden";
    case 404:
      return "404 Not Found";
    case 500:
      return "500 Internal Server Error";
    case 502:
      return "502 Bad Gateway";
    case 503:
      return "503 Service Unavailable";
    case 504:
      return "504 Gateway Timeout";
    default:
      return std::to_string(status);
  }
}

}  // namespace ambientd::hbone
