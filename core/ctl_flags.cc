// SPDX-License-Identifier: Apache-2.0
#include "core/ctl_flags.h"

#include <CLI/CLI.hpp>

namespace ambientd::ctl {
namespace {

struct Name {
  const char *name, *alias, *help;
};

constexpr Name kCommands[] = {
    {"workloads", "workload", "the workloads of the mesh, as this proxy knows them"},
    {"services", "service", "services, their waypoints and healthy endpoints"},
    {"policies", "policy", "authorization policies"},
    {"certificates", "certificate", "certificates this proxy holds, and until when"},
    {"connections", "connection", "connections open now, by pod"},
    {"all", nullptr, "all of the above; with -o json the whole dump"},
    {"tasks", "task", "what every worker thread is waiting for, and for how long"},
    {"why", nullptr, "why a call goes where it goes, and whether it may: every way, candidate and policy"},
    {"log", nullptr, "shows log levels, or changes them until the proxy ends"},
};

constexpr const char* kExamples = R"(
Examples:
  ambientd ctl workloads
      a table, as `istioctl ztunnel-config workload` prints it
  ip netns exec node1 ambientd ctl connections --namespace default
      of a proxy in another network namespace: its admin port is on loopback there
  ambientd ctl all -o json > dump.json, then: ambientd ctl services --file dump.json
  ambientd ctl why default/shell-0 echo.default:80
      nothing is sent: the proxy asks the code that decides over connections
  ambientd ctl log --level access=debug,info
  ambientd ctl log --workload default/shell-0 --level debug, and back: ambientd ctl log --workload default/shell-0 --reset
)";

void describe_log(CLI::App& log, CtlOptions& options) {
  log.add_option("--level", options.log_level, "level, or target=level (target:level), separated by commas");
  log.add_option("--workload", options.log_workload, "a pod of the proxy: the level is for lines about it");
  log.add_flag("-r,--reset", options.log_reset, "back to the levels of the start");
}

void describe_why(CLI::App& why, CtlOptions& options) {
  why.add_option("source", options.why_source, "who calls: NAMESPACE/NAME of a pod, its uid or an address")
      ->required()
      ->type_name("SRC");
  why.add_option("destination", options.why_destination,
                 "whom: IP:PORT, a service's HOSTNAME:PORT (echo, echo.default …) or a pod's "
                 "NAMESPACE/NAME:PORT")
      ->required()
      ->type_name("DST:PORT");
}

void describe_output(CLI::App& one, CtlOptions& options) {
  one.add_option("-o,--output", options.output, "table (default), json or yaml")
      ->check(CLI::IsMember({"table", "json", "yaml"}));
}

}  // namespace

CLI::App* describe(CLI::App& app, CtlOptions& options) {
  CLI::App* ctl = app.add_subcommand("ctl", "show what a running proxy, or a saved dump, knows");
  ctl->footer(kExamples);
  ctl->add_option("--address", options.address, "admin port of the proxy: IP:PORT (default localhost:15000)");
  ctl->add_option("-f,--file", options.file, "a saved configuration dump instead; - is standard input");
  ctl->fallthrough(false);
  for (const Name& command : kCommands) {
    CLI::App* one = ctl->add_subcommand(command.name, command.help);
    if (command.alias) one->alias(command.alias);
    one->fallthrough();
    one->callback([&options, name = command.name] { options.what = name; });
    if (std::string_view(command.name) == "log") {
      describe_log(*one, options);
      continue;
    }
    describe_output(*one, options);
    if (std::string_view(command.name) == "why") describe_why(*one, options);
    if (std::string_view(command.name) == "tasks" || std::string_view(command.name) == "why") continue;
    one->add_option("-n,--namespace", options.ns, "only of this namespace");
    if (std::string_view(command.name) == "connections")
      one->add_flag("--raw", options.raw, "addresses instead of names");
  }
  return ctl;
}

}  // namespace ambientd::ctl
