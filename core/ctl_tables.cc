// SPDX-License-Identifier: Apache-2.0
#include "core/ctl_tables.h"

#include <fmt/format.h>
#include <openssl/bn.h>
#include <openssl/crypto.h>

#include <algorithm>
#include <ctime>
#include <map>
#include <nlohmann/json.hpp>

#include "core/ip.h"
#include "core/table.h"

namespace ambientd::ctl {
namespace {

using nlohmann::json;

std::string text(const json& record, const char* key) { return record.value(key, std::string()); }

// Lists may be maps as well, as older ztunnels printed them.
std::vector<json> list_of(const json& dump, const char* key) {
  json section = dump.value(key, json::array());
  std::vector<json> out;
  for (const auto& [name, each] : section.items()) out.push_back(each);
  return out;
}

using Key = std::vector<std::string>;

template <class KeyOf>
std::vector<json> sorted(std::vector<json> list, const View& view, KeyOf key_of) {
  if (!view.ns.empty()) std::erase_if(list, [&](const json& each) { return key_of(each)[0] != view.ns; });
  std::ranges::sort(list, {}, key_of);
  return list;
}

std::vector<json> workloads(const json& dump, const View& view) {
  return sorted(list_of(dump, "workloads"), view,
                [](const json& w) { return Key{text(w, "namespace"), text(w, "name"), text(w, "node")}; });
}

std::vector<json> services(const json& dump, const View& view) {
  return sorted(list_of(dump, "services"), view, [](const json& s) {
    return Key{text(s, "namespace"), text(s, "name"), text(s, "hostname")};
  });
}

std::vector<json> policies(const json& dump, const View& view) {
  return sorted(list_of(dump, "policies"), view,
                [](const json& p) { return Key{text(p, "namespace"), text(p, "name")}; });
}

std::vector<json> certificates(const json& dump, const View& view) {
  std::vector<json> all = list_of(dump, "certificates");
  if (view.ns.empty()) return all;
  std::string part = "/ns/" + view.ns + "/sa/";
  std::erase_if(all, [&part](const json& c) { return text(c, "identity").find(part) == std::string::npos; });
  return all;
}

std::vector<json> pods(const json& dump, const View& view) {
  return sorted(list_of(dump, "workloadState"), view, [](const json& state) {
    json info = state.value("info", json::object());
    return Key{text(info, "namespace"), text(info, "name")};
  });
}

std::vector<json> section_of(const json& dump, std::string_view section, const View& view) {
  if (section == "workloads") return workloads(dump, view);
  if (section == "services") return services(dump, view);
  if (section == "policies") return policies(dump, view);
  if (section == "certificates") return certificates(dump, view);
  return pods(dump, view);
}

std::string after_slash(const std::string& address) {
  size_t slash = address.find('/');
  return slash == std::string::npos ? "" : address.substr(slash + 1);
}

std::string joined(const json& record, const char* key, bool addresses_of_networks) {
  std::vector<std::string> out;
  for (const json& each : record.value(key, json::array()))
    out.push_back(addresses_of_networks ? after_slash(each.get<std::string>()) : each.get<std::string>());
  return fmt::format("{}", fmt::join(out, ","));
}

// Services by what a waypoint reference may call them: `ns/hostname` and `network/ip`.
std::map<std::string, std::string> service_names(const json& dump) {
  std::map<std::string, std::string> out;
  for (const json& s : list_of(dump, "services")) {
    out.emplace(text(s, "namespace") + "/" + text(s, "hostname"), text(s, "name"));
    for (const json& vip : s.value("vips", json::array()))
      out.emplace(vip.get<std::string>(), text(s, "name"));
  }
  return out;
}

std::string waypoint_of(const json& record, const std::map<std::string, std::string>& names) {
  if (!record.contains("waypoint")) return "None";
  auto found = names.find(text(record.at("waypoint"), "destination"));
  return found == names.end() ? "NA" : found->second;
}

std::vector<Row> workload_rows(const json& dump, const View& view) {
  std::map<std::string, std::string> names = service_names(dump);
  std::vector<Row> rows = {{"NAMESPACE", "POD NAME", "ADDRESS", "NODE", "WAYPOINT", "PROTOCOL"}};
  for (const json& w : workloads(dump, view)) {
    std::string address = joined(w, "workloadIps", false);
    rows.push_back({text(w, "namespace"), text(w, "name"), address.empty() ? text(w, "hostname") : address,
                    text(w, "node"), waypoint_of(w, names), text(w, "protocol")});
  }
  return rows;
}

std::vector<Row> service_rows(const json& dump, const View& view) {
  std::map<std::string, std::string> names = service_names(dump), status;
  for (const json& w : list_of(dump, "workloads")) status[text(w, "uid")] = text(w, "status");
  std::vector<Row> rows = {{"NAMESPACE", "SERVICE NAME", "SERVICE VIP", "WAYPOINT", "ENDPOINTS"}};
  for (const json& s : services(dump, view)) {
    json endpoints = s.value("endpoints", json::object());
    auto healthy = std::ranges::count_if(endpoints, [&status](const json& each) {
      auto found = status.find(text(each, "workloadUid"));
      return found != status.end() && found->second == "Healthy";
    });
    rows.push_back({text(s, "namespace"), text(s, "name"), joined(s, "vips", true), waypoint_of(s, names),
                    fmt::format("{}/{}", healthy, endpoints.size())});
  }
  return rows;
}

std::vector<Row> policy_rows(const json& dump, const View& view) {
  std::vector<Row> rows = {{"NAMESPACE", "POLICY NAME", "ACTION", "SCOPE"}};
  for (const json& p : policies(dump, view))
    rows.push_back({text(p, "namespace"), text(p, "name"), text(p, "action"), text(p, "scope")});
  return rows;
}

std::string hexadecimal(const std::string& decimal) {
  BIGNUM* number = nullptr;
  if (decimal.empty() || BN_dec2bn(&number, decimal.c_str()) != static_cast<int>(decimal.size())) {
    BN_free(number);
    return "NA";
  }
  char* digits = BN_bn2hex(number);
  std::string out = digits ? digits : "NA";
  OPENSSL_free(digits);
  BN_free(number);
  std::ranges::transform(out, out.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  out.erase(0, std::min(out.find_first_not_of('0'), out.size() - 1));
  return out;
}

std::optional<TimePoint> moment(const std::string& rfc3339) {
  std::tm utc{};
  const char* end = strptime(rfc3339.c_str(), "%Y-%m-%dT%H:%M:%SZ", &utc);
  if (!end || *end) return std::nullopt;
  return std::chrono::system_clock::from_time_t(timegm(&utc));
}

bool is_valid(const json& certificate, TimePoint now) {
  std::optional<TimePoint> from = moment(text(certificate, "validFrom"));
  std::optional<TimePoint> until = moment(text(certificate, "expirationTime"));
  return from && until && *from < now && now < *until;
}

Row certificate_row(const json& secret, const std::string& state, const char* type, const json& one,
                    const View& view) {
  return {text(secret, "identity"),
          type,
          state,
          is_valid(one, view.now) ? "true" : "false",
          hexadecimal(text(one, "serialNumber")),
          text(one, "expirationTime"),
          text(one, "validFrom")};
}

std::vector<Row> certificate_rows(const json& dump, const View& view) {
  std::vector<Row> rows = {
      {"CERTIFICATE NAME", "TYPE", "STATUS", "VALID CERT", "SERIAL NUMBER", "NOT AFTER", "NOT BEFORE"}};
  for (const json& secret : certificates(dump, view)) {
    std::string state = text(secret, "state");
    if (state.find("Unavailable") != std::string::npos) state = "Unavailable";
    json chain = secret.value("certChain", json::array()), roots = secret.value("rootCerts", json::array());
    if (chain.empty()) rows.push_back({text(secret, "identity"), "NA", state, "false", "NA", "NA", "NA"});
    for (size_t i = 0; i < chain.size(); ++i)
      rows.push_back(certificate_row(secret, state, i == 0 ? "Leaf" : "Intermediate", chain[i], view));
    if (chain.empty()) continue;
    for (const json& root : roots) rows.push_back(certificate_row(secret, state, "Root", root, view));
  }
  return rows;
}

// Hostnames of services by their first VIP, pods by their first address.
std::map<std::string, std::string> names_by_ip(const json& dump) {
  std::map<std::string, std::string> out;
  for (const json& w : list_of(dump, "workloads"))
    for (const json& ip : w.value("workloadIps", json::array())) {
      out[ip.get<std::string>()] = text(w, "name") + "." + text(w, "namespace");
      break;
    }
  for (const json& s : list_of(dump, "services"))
    for (const json& vip : s.value("vips", json::array())) {
      out[after_slash(vip.get<std::string>())] = text(s, "hostname");
      break;
    }
  return out;
}

std::string named(const json& connection, const char* key, const std::map<std::string, std::string>& names) {
  if (!connection.contains(key) || connection.at(key).is_null()) return "";
  std::string address = connection.at(key).get<std::string>();
  std::optional<SockAddr> at = SockAddr::parse(address);
  auto found = at ? names.find(at->ip.str()) : names.end();
  return found == names.end() ? address : fmt::format("{}:{}", found->second, at->port);
}

std::vector<Row> connection_rows(const json& dump, const View& view) {
  std::map<std::string, std::string> names;
  if (!view.raw) names = names_by_ip(dump);
  std::vector<Row> rows = {{"WORKLOAD", "DIRECTION", "LOCAL", "REMOTE", "REMOTE TARGET", "PROTOCOL"}};
  for (const json& state : pods(dump, view)) {
    json info = state.value("info", json::object()), open = state.value("connections", json::object());
    std::string pod = text(info, "name") + "." + text(info, "namespace");
    for (const json& c : open.value("inbound", json::array()))
      rows.push_back({pod, "Inbound", named(c, "actualDst", names), named(c, "src", names),
                      named(c, "originalDst", {}), text(c, "protocol")});
    for (const json& c : open.value("outbound", json::array()))
      rows.push_back({pod, "Outbound", named(c, "src", names), named(c, "actualDst", names),
                      named(c, "originalDst", names), text(c, "protocol")});
  }
  return rows;
}

std::string table_of(const json& dump, std::string_view section, const View& view) {
  if (section == "workloads") return align(workload_rows(dump, view));
  if (section == "services") return align(service_rows(dump, view));
  if (section == "policies") return align(policy_rows(dump, view));
  if (section == "certificates") return align(certificate_rows(dump, view), 5);
  return align(connection_rows(dump, view));
}

// Runs what reads a dump; what it trips over becomes the error.
template <class Read>
auto reading(const json& dump, Read read) -> Result<decltype(read())> {
  if (!dump.is_object() || !dump.contains("workloads"))
    return fail(Errc::invalid,
                "this is no configuration dump: it has no workloads (take one with ctl all -o json)");
  try {
    return read();
  } catch (const json::exception& error) {
    return fail(Errc::invalid,
                fmt::format("this is no configuration dump as ztunnel prints it: {}", error.what()));
  }
}

}  // namespace

Result<std::string> table(const json& dump, std::string_view section, const View& view) {
  return reading(dump, [&] { return table_of(dump, section, view); });
}

Result<json> records(const json& dump, std::string_view section, const View& view) {
  return reading(dump, [&] { return json(section_of(dump, section, view)); });
}

}  // namespace ambientd::ctl
