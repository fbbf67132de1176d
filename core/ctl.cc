// SPDX-License-Identifier: Apache-2.0
#include "core/ctl.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "core/credential_files.h"
#include "core/ctl_tables.h"
#include "core/ctl_why.h"
#include "core/deadline.h"
#include "core/http_message.h"
#include "core/loop.h"
#include "core/table.h"
#include "core/text.h"
#include "core/yaml_text.h"

namespace ambientd::ctl {
namespace {

using nlohmann::json;

constexpr uint64_t kAnswerMs = 30'000;
constexpr size_t kMostDump = 1 << 30;  // bytes of a file
constexpr std::string_view kSections[] = {"workloads", "services", "policies", "certificates", "connections"};

Result<SockAddr> admin_address(const std::string& text) {
  std::string_view rest = text;
  if (rest.starts_with("localhost:")) {
    std::optional<uint64_t> port = parse_uint(rest.substr(10));
    if (port && *port > 0 && *port < 65536)
      return SockAddr{Ip::loopback(false), static_cast<uint16_t>(*port)};
  }
  if (std::optional<SockAddr> at = SockAddr::parse(text); at && at->port != 0) return *at;
  return fail(Errc::invalid,
              fmt::format("--address: {} is not IP:PORT or localhost:PORT", ambientd::quoted(text)));
}

Task<void> call(SockAddr to, std::string method, std::string target, Result<HttpMessage>& answer) {
  HttpMessage request;
  request.head.method = std::move(method);
  request.head.target = std::move(target);
  request.head.fields = {{"host", to.str()}};
  Scope scope;
  Deadline deadline(scope, kAnswerMs, {Errc::timed_out, "no answer in time"});
  answer = co_await http_call(to, std::move(request), scope);
}

Task<void> then_stop(Task<void> story, Loop& loop) {
  co_await story;
  loop.stop();
}

Result<std::string> ask(const CtlOptions& options, std::string method, std::string target) {
  Result<SockAddr> to = admin_address(options.address);
  if (!to) return fail(to.error());
  Result<HttpMessage> answer;
  Loop loop;
  loop.spawn("ctl", then_stop(call(*to, std::move(method), target, answer), loop));
  loop.run();
  if (!answer)
    return fail(
        answer.error().code,
        fmt::format("{}: {}\nIs a proxy running there? The admin port is on loopback of the proxy's own "
                    "network namespace: try `ip netns exec NAME ambientd ctl …`, --address IP:PORT, or "
                    "--file with a saved dump.",
                    to->str(), answer.error().detail));
  if (answer->head.status != 200)
    return fail(Errc::http_status, fmt::format("{} answered {} to {}: {}", to->str(), answer->head.status,
                                               target, trim(answer->body)));
  return std::move(answer->body);
}

Result<std::string> read_dump(const std::string& path) {
  if (path == "-") return std::string(std::istreambuf_iterator<char>(std::cin), {});
  return read_file(path, kMostDump);
}

Result<json> parse(const std::string& text, const std::string& source) {
  json out = json::parse(text, nullptr, false);
  if (out.is_discarded()) return fail(Errc::invalid, fmt::format("{}: is not JSON", source));
  return out;
}

std::string shown(const json& value, const std::string& output) {
  if (output == "yaml") return yaml_text(value);
  return value.dump(4, ' ', false, json::error_handler_t::replace) + "\n";
}

Result<std::string> show_dump(const CtlOptions& options) {
  Result<std::string> text =
      options.file.empty() ? ask(options, "GET", "/config_dump") : read_dump(options.file);
  if (!text) return text;
  Result<json> dump = parse(*text, options.file.empty() ? options.address : options.file);
  if (!dump) return fail(dump.error());
  View view{options.ns, options.raw, std::chrono::system_clock::now()};
  bool all = options.what == "all";
  if (all && options.output != "table") return shown(*dump, options.output);
  if (options.output != "table") {
    Result<json> found = records(*dump, options.what, view);
    if (!found) return fail(found.error());
    return shown(*found, options.output);
  }
  std::string out;
  for (std::string_view section : kSections) {
    if (!all && section != options.what) continue;
    Result<std::string> one = table(*dump, section, view);
    if (!one) return one;
    out += (all ? "\n" : "") + *one;
  }
  return out;
}

// The admin port's page has a line a story, tabs between columns, and the columns' names first.
Result<std::string> show_tasks(const CtlOptions& options) {
  Result<std::string> page = ask(options, "GET", "/debug/tasks");
  if (!page) return page;
  std::vector<Row> rows;
  for (std::string_view line : split(*page, '\n')) {
    if (line.empty()) continue;
    Row row;
    for (std::string_view cell : split(line, '\t')) row.emplace_back(cell);
    rows.push_back(std::move(row));
  }
  if (rows.empty()) return fail(Errc::bad_request, options.address + ": /debug/tasks is empty");
  if (options.output == "table") {
    for (std::string& name : rows[0])
      std::ranges::transform(name, name.begin(), [](char c) { return static_cast<char>(std::toupper(c)); });
    return align(rows);
  }
  json out = json::array();
  for (size_t i = 1; i < rows.size(); ++i) {
    json one = json::object();
    for (size_t k = 0; k < std::min(rows[0].size(), rows[i].size()); ++k) one[rows[0][k]] = rows[i][k];
    out.push_back(std::move(one));
  }
  return shown(out, options.output);
}

std::string escaped(const std::string& text) {
  std::string out;
  for (unsigned char c : text) {
    if (std::isalnum(c) || std::strchr("-_.~", c)) {
      out.push_back(static_cast<char>(c));
    } else {
      out += fmt::format("%{:02X}", c);
    }
  }
  return out;
}

Result<std::string> change_log(const CtlOptions& options) {
  std::string query;
  auto add = [&query](std::string_view part) { query.append(query.empty() ? "?" : "&").append(part); };
  if (!options.log_workload.empty()) add("workload=" + escaped(options.log_workload));
  if (!options.log_level.empty()) add("level=" + escaped(options.log_level));
  if (options.log_reset) add("reset");
  return ask(options, "POST", "/logging" + query);
}

Result<std::string> show_why(const CtlOptions& options) {
  Result<std::string> text =
      ask(options, "GET",
          "/debug/why?src=" + escaped(options.why_source) + "&dst=" + escaped(options.why_destination));
  if (!text) return text;
  Result<json> answer = parse(*text, options.address);
  if (!answer) return fail(answer.error());
  if (options.output != "table") return shown(*answer, options.output);
  return why_text(*answer);
}

Status check(const CtlOptions& options) {
  if (!options.file.empty() && options.what == "why")
    return fail(Errc::invalid,
                "--file: why is asked of a running proxy, which decides with its own code. A dump shows what "
                "is configured, but not which ports an endpoint has of its own, which waypoints are asked "
                "for and missing, or what this proxy does then");
  if (!options.file.empty() && (options.what == "tasks" || options.what == "log"))
    return fail(Errc::invalid,
                fmt::format("--file: {} is asked of a running proxy, a dump does not have it", options.what));
  return {};
}

}  // namespace

Result<std::string> run(const CtlOptions& options) {
  if (Status sound = check(options); !sound) return fail(sound.error());
  if (options.what == "tasks") return show_tasks(options);
  if (options.what == "why") return show_why(options);
  if (options.what == "log") return change_log(options);
  return show_dump(options);
}

}  // namespace ambientd::ctl
