// SPDX-License-Identifier: Apache-2.0
#include "core/ctl_why.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/table.h"

namespace ambientd::ctl {
namespace {

using nlohmann::json;

constexpr const json::value_t kNull = json::value_t::null;

// A text or a number; empty when it is not there.
std::string cell(const json& record, const char* key) {
  auto at = record.find(key);
  if (at == record.end() || at->type() == kNull) return {};
  return at->is_string() ? at->get<std::string>() : at->dump();
}

std::string joined(const json& record, const char* key) {
  std::vector<std::string> out;
  for (const json& each : record.value(key, json::array())) out.push_back(each.get<std::string>());
  return fmt::format("{}", fmt::join(out, " or "));
}

std::string indented(const std::string& text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    size_t end = text.find('\n', at);
    out += "  " + text.substr(at, end - at) + "\n";
    at = end == text.npos ? text.size() : end + 1;
  }
  return out;
}

std::string ends(const json& answer) {
  const json& source = answer.at("source");
  const json& destination = answer.at("destination");
  std::string known = cell(destination, "service"), workload = cell(destination, "workload");
  if (!known.empty()) known = "service " + known;
  if (!workload.empty()) known = "workload " + workload;
  if (known.empty()) known = "nothing of the mesh";
  std::vector<Row> rows{{"FROM", cell(source, "workload"), cell(source, "address"), cell(source, "identity")},
                        {"TO", cell(destination, "address"), known, ""}};
  std::string out = align(rows, 2);
  if (answer.contains("uncaptured"))
    out += "No ztunnel sees this call: " + cell(answer, "uncaptured") + ". If one did:\n";
  return out;
}

std::string choice(const json& one) {
  std::vector<Row> rows;
  for (const json& each : one.at("candidates")) {
    bool in = each.at("in").get<bool>();
    rows.push_back({in ? "in" : "out", cell(each, "workload"), in ? "port " + cell(each, "port") : "-",
                    cell(each, "reason")});
  }
  std::string head =
      fmt::format("\n{} of {} port {}:\n", cell(one, "what"), cell(one, "service"), cell(one, "port"));
  return head + (rows.empty() ? "  nobody names this service\n" : indented(align(rows, 2)));
}

std::string policies(const json& far) {
  std::vector<Row> rows;
  for (const json& each : far.value("policies", json::array())) {
    std::string rule = each.contains("ruleNumber") ? "rule " + cell(each, "ruleNumber") : "-";
    rows.push_back({each.value("decided", false) ? "*" : " ", cell(each, "policy"), cell(each, "action"),
                    cell(each, "verdict"), rule, each.contains("rule") ? each["rule"].dump() : ""});
  }
  for (const json& each : far.value("unknownPolicies", json::array()))
    rows.push_back({" ", each.get<std::string>(), "-", "denies: nobody has sent it", "-", ""});
  return rows.empty() ? "no policies\n" : align(rows, 2);
}

std::string far_end(const json& far) {
  std::string out = "its ztunnel answers " + cell(far, "status");
  if (far.contains("application")) out += ", application " + cell(far, "application");
  std::string reason = cell(far, "reason");
  if (!reason.empty()) out += ": " + reason;
  out += "\n";
  if (far.contains("policies")) out += policies(far);
  return out;
}

std::string way(const json& one) {
  if (one.contains("error")) return "refused: " + cell(one, "error") + "\n";
  std::string to =
      one.contains("dials") ? cell(one, "dials") : cell(one, "resolves") + ":" + cell(one, "port");
  std::string out = fmt::format("{} to {}", cell(one, "protocol"), to);
  for (const json& hop : one.value("hops", json::array()))
    out += fmt::format(" > {} {}", cell(hop, "what"), cell(hop, "workload"));
  out += "\n";
  auto add = [&](const char* label, const std::string& text) {
    if (!text.empty()) out += fmt::format("  {} {}\n", label, text);
  };
  add("CONNECT", cell(one, "authority"));
  add("expects", joined(one, "expects"));
  add("expects inside", joined(one, "expectsInside"));
  add("passes by the missing waypoint", cell(one, "skippedWaypoint"));
  if (one.contains("farEnd")) out += indented(far_end(one["farEnd"]));
  return out;
}

// Names come from the configuration, which may be somebody else's: nothing may move a terminal's cursor.
std::string printable(std::string text) {
  for (char& c : text)
    if (c != '\n' && (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)) c = '?';
  return text;
}

std::string all_of(const json& answer) {
  std::string out = ends(answer);
  for (const json& each : answer.value("choices", json::array())) out += choice(each);
  const json& ways = answer.at("ways");
  for (size_t i = 0; i < ways.size(); ++i)
    out += fmt::format("\nway {} of {}{}: {}", i + 1, ways.size(), answer.value("complete", true) ? "" : "+",
                       way(ways[i]));
  return printable(out);
}

}  // namespace

Result<std::string> why_text(const json& answer) {
  try {
    return all_of(answer);
  } catch (const json::exception& error) {
    return fail(Errc::invalid, fmt::format("this is no explanation as ztunnel gives it: {}", error.what()));
  }
}

}  // namespace ambientd::ctl
