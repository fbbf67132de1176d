// SPDX-License-Identifier: Apache-2.0
#include "core/flags.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <thread>

#include "core/ctl_flags.h"
#include "core/text.h"

namespace ambientd {
namespace {

constexpr const char* kExamples = R"(
Examples:
  ambientd --config mesh.yaml --workload default/shell/shell
      the ztunnel of the network namespace it runs in
  ambientd --config mesh/ --pod default/a/a=/run/netns/a --pod default/b/b=/run/netns/b
      one ztunnel for all pods of a node
  ambientd --mode waypoint --config mesh/ --workload default/waypoint/waypoint
  ambientd --check --config mesh/
      reads the files, prints what is wrong with them, exits
  ambientd ctl workloads
      what a running proxy knows; ambientd ctl --help
  ip netns exec a ambientd redirect --apply
      captures the traffic of namespace a

Without --ca-cert or --cert, certificates are signed by a demo CA in --ca-dir that the processes of this machine share.
Environment variables of Istio's ztunnel are honoured; a flag beats its variable.
)";

// Texts as they were given; empty where a flag was not.
struct Given {
  std::string mode, role, workload, workers, log_level;
  std::vector<std::string> pods;
  std::string missing_waypoint;
  bool check = false, apply = false, remove = false, print = false;
  CLI::App* redirect = nullptr;
  CLI::App* proxy = nullptr;
  CLI::App* ctl = nullptr;
  CLI::App* version = nullptr;
  CLI::App* help = nullptr;
};

void describe_run(CLI::App& app, Given& given, Options& options) {
  app.add_option("--mode", given.mode, "ztunnel (default) or waypoint");
  app.add_option("--config", options.config, "file or directory of YAML; may be repeated")
      ->allow_extra_args(false);
  app.add_option("--workload", given.workload, "who this process is: namespace/name/service-account");
  app.add_option("--pod", given.pods,
                 "a pod to serve: namespace/name/service-account=/run/netns/X; may be repeated")
      ->allow_extra_args(false);
  app.add_option("--workers", given.workers, "worker threads: N, N% of the CPUs, or 0 for all");
  app.add_option("--log-level", given.log_level, "level, or target=level, separated by commas");
  app.add_option(
      "--missing-waypoint", given.missing_waypoint,
      "calls whose waypoint is missing: refuse, pass, or istio (default: pass where no such Gateway "
      "exists, refuse where it has no instance)");
  app.add_flag("--check", given.check, "validate the configuration, print its problems, exit");
}

void describe_identity(CLI::App& app, Options& options) {
  IdentityFiles& files = options.identity;
  app.add_option("--ca-cert", files.ca_cert,
                 "certificate of the CA that signs workload certificates here (PEM)");
  app.add_option("--ca-key", files.ca_key, "its key, RSA or EC (PEM)");
  app.add_option("--cert", files.cert, "this workload's certificate chain (PEM), instead of a CA");
  app.add_option("--key", files.key, "its key (PEM)");
  app.add_option("--root", files.root, "the roots it trusts (PEM)");
  app.add_option("--crl", options.crl_path,
                 "revocation lists to check peers against (PEM or DER), as CRL_PATH");
  app.add_option("--ca-dir", files.ca_dir, "where the demo CA is kept");
}

void describe_ports(CLI::App& app, Ports& ports) {
  const CLI::Range port(1, 65535);
  app.add_option("--admin-port", ports.admin, "admin interface, on loopback (default 15000)")->check(port);
  app.add_option("--stats-port", ports.stats, "metrics (default 15020)")->check(port);
  app.add_option("--readiness-port", ports.readiness, "readiness probe (default 15021)")->check(port);
}

void describe_commands(CLI::App& app, Given& given, Options& options) {
  given.redirect = app.add_subcommand("redirect", "the capture rules of the current network namespace");
  given.redirect->add_flag("--apply", given.apply, "make them");
  given.redirect->add_flag("--remove", given.remove, "take them away");
  given.redirect->add_flag("--print", given.print, "show them");
  given.redirect->add_flag("--dns", options.redirect_dns, "capture DNS as well");
  given.ctl = ctl::describe(app, options.ctl);
  given.version = app.add_subcommand("version", "print the version");
  given.help = app.add_subcommand("help", "print this text");
  given.proxy = app.add_subcommand("proxy", "start as Istio's containers do: proxy ztunnel, proxy waypoint");
  given.proxy->add_option("role", given.role, "ztunnel or waypoint; Istio's further arguments are ignored");
  given.proxy->fallthrough()->allow_extras();
}

void describe(CLI::App& app, Given& given, Options& options) {
  app.footer(kExamples);
  app.allow_extras();
  describe_run(app, given, options);
  describe_identity(app, options);
  describe_ports(app, options.ports);
  describe_commands(app, given, options);
}

std::unexpected<Error> wrong(std::string_view flag, std::string_view why) {
  return fail(Errc::invalid, fmt::format("{}: {}", flag, why));
}

Result<PodName> parse_pod(std::string_view text) {
  size_t equals = text.find('=');
  if (equals == std::string_view::npos || equals + 1 == text.size())
    return wrong("--pod",
                 fmt::format("{} is not namespace/name/service-account=/path/of/netns", quoted(text)));
  Result<WorkloadName> workload = parse_workload_name(text.substr(0, equals));
  if (!workload) return wrong("--pod", workload.error().detail);
  return PodName{std::move(*workload), std::string(text.substr(equals + 1))};
}

Status take_mode(const Given& given, Options& options) {
  std::string mode = given.mode;
  if (mode.empty() && given.proxy->parsed()) {
    if (given.role != "ztunnel" && given.role != "waypoint")
      return wrong("proxy", "want proxy ztunnel or proxy waypoint");
    mode = given.role;
  }
  if (mode.empty() || mode == "ztunnel") return {};
  if (mode != "waypoint")
    return wrong("--mode", fmt::format("{} is neither ztunnel nor waypoint", ambientd::quoted(mode)));
  options.mode = Mode::waypoint;
  return {};
}

Status take_names(const Given& given, Options& options) {
  if (!given.workload.empty()) {
    Result<WorkloadName> workload = parse_workload_name(given.workload);
    if (!workload) return wrong("--workload", workload.error().detail);
    options.workload = std::move(*workload);
  }
  for (const std::string& text : given.pods) {
    Result<PodName> pod = parse_pod(text);
    if (!pod) return std::unexpected(pod.error());
    options.pods.push_back(std::move(*pod));
  }
  return {};
}

Status take_tuning(const Given& given, Options& options) {
  if (!given.workers.empty()) {
    Result<size_t> workers = parse_workers(given.workers, std::max(1u, std::thread::hardware_concurrency()));
    if (!workers) return wrong("--workers", workers.error().detail);
    options.workers = *workers;
  }
  if (!given.missing_waypoint.empty()) {
    Result<MissingWaypoint> what = parse_missing_waypoint(given.missing_waypoint);
    if (!what) return wrong("--missing-waypoint", what.error().detail);
    options.missing_waypoint = *what;
  }
  if (!given.log_level.empty()) {
    Result<log::Filter> filter = log::Filter::parse(given.log_level);
    if (!filter) return wrong("--log-level", filter.error().detail);
    options.log_filter = std::move(*filter);
  }
  return {};
}

Status take_command(const Given& given, Options& options) {
  if (given.ctl->parsed()) {
    if (options.ctl.what.empty()) return wrong("ctl", "say what to show (see ambientd ctl --help)");
    options.command = Command::ctl;
  }
  if (given.version->parsed()) options.command = Command::version;
  if (given.help->parsed()) options.command = Command::help;
  if (given.check) options.command = Command::check;
  if (!given.redirect->parsed()) return {};
  if (given.apply + given.remove + given.print != 1)
    return wrong("redirect", "give one of --apply, --remove, --print");
  options.command = given.apply    ? Command::redirect_apply
                    : given.remove ? Command::redirect_remove
                                   : Command::redirect_print;
  return {};
}

// What is right by itself and wrong together.
Status check_together(const Options& options) {
  const IdentityFiles& files = options.identity;
  if (files.ca_cert.empty() != files.ca_key.empty())
    return wrong("--ca-cert", "goes with --ca-key: give both or none");
  size_t own = static_cast<size_t>(!files.cert.empty()) + !files.key.empty() + !files.root.empty();
  if (own != 0 && own != 3) return wrong("--cert", "goes with --key and --root: give all three or none");
  if (own == 3 && !files.ca_cert.empty())
    return wrong("--cert", "contradicts --ca-cert: give one of the two");
  if (options.mode == Mode::waypoint && !options.pods.empty())
    return wrong("--pod", "a waypoint serves no pods: say who it is with --workload");
  if (options.dedicated && !options.workload)
    return fail(Errc::invalid,
                "PROXY_MODE=dedicated needs PROXY_WORKLOAD_INFO or --workload (namespace/name/sa)");
  return {};
}

Status take(const Given& given, Options& options) {
  for (Status (*step)(const Given&, Options&) : {take_mode, take_names, take_tuning, take_command}) {
    if (Status taken = step(given, options); !taken) return taken;
  }
  return options.command == Command::run || options.command == Command::check ? check_together(options)
                                                                              : Status();
}

// Arguments nobody asked for are an error, but not after `proxy`: there they are meant for Istio's own
// proxies.
Status check_unknown(const CLI::App& app, const Given& given) {
  std::vector<std::string> unknown = app.remaining(true);
  if (unknown.empty() || given.proxy->parsed()) return {};
  std::string_view what = unknown[0].starts_with('-') ? "flag" : "command";
  return fail(Errc::invalid, fmt::format("unknown {}: {} (see ambientd --help)", what, unknown[0]));
}

}  // namespace

Result<WorkloadName> parse_workload_name(std::string_view text) {
  std::vector<std::string_view> parts = split(text, '/');
  bool good = parts.size() == 3 && std::ranges::none_of(parts, &std::string_view::empty);
  if (!good)
    return fail(Errc::invalid, fmt::format("{} is not namespace/name/service-account", quoted(text)));
  return WorkloadName{std::string(parts[0]), std::string(parts[1]), std::string(parts[2])};
}

Result<MissingWaypoint> parse_missing_waypoint(std::string_view text) {
  if (text == "istio") return MissingWaypoint::istio;
  if (text == "refuse") return MissingWaypoint::refuse;
  if (text == "pass") return MissingWaypoint::pass;
  return fail(Errc::invalid, fmt::format("{} is not refuse, pass or istio", quoted(text)));
}

Result<size_t> parse_workers(std::string_view text, size_t cpus) {
  bool percent = text.ends_with('%');
  std::optional<uint64_t> n = parse_uint(percent ? text.substr(0, text.size() - 1) : text);
  if (!n || (percent && (*n == 0 || *n > 100)) || *n > 1024)
    return fail(Errc::invalid,
                fmt::format("{} is not a number up to 1024, a percentage, or 0 for all CPUs", quoted(text)));
  if (percent) return std::max<size_t>(1, (cpus * *n + 99) / 100);
  return *n == 0 ? cpus : *n;
}

Result<Options> parse_flags(std::span<const char* const> arguments, const Environment& environment) {
  Options options;
  if (Status read = read_environment(environment, options); !read) return std::unexpected(read.error());
  std::vector<std::string> from_environment = std::exchange(options.config, {});
  bool window_set = environment("HTTP2_STREAM_WINDOW_SIZE").has_value();

  Given given;
  CLI::App app("ambientd: the data plane of an ambient service mesh", "ambientd");
  describe(app, given, options);
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));  // CLI11 wants them reversed
  } catch (const CLI::CallForHelp&) {
    options.command = Command::help;
    options.help = app.help();
    return options;
  } catch (const CLI::ParseError& error) {
    return fail(Errc::invalid, fmt::format("{} (see ambientd --help)", error.what()));
  }
  if (Status known = check_unknown(app, given); !known) return std::unexpected(known.error());
  if (Status taken = take(given, options); !taken) return std::unexpected(taken.error());
  if (options.config.empty()) {
    options.config = std::move(from_environment);
  } else {
    options.local_xds_path.clear();
  }
  if (options.mode == Mode::waypoint && !window_set) options.http2.stream_window = 1 << 20;
  return options;
}

std::string help_text() {
  Given given;
  Options options;
  CLI::App app("ambientd: the data plane of an ambient service mesh", "ambientd");
  describe(app, given, options);
  return app.help();
}

Status runnable(const Options& options) {
  if (options.config.empty() == options.local_xds.empty()) {
    if (!options.config.empty())
      return fail(Errc::invalid, "LOCAL_XDS and --config exclude each other: use one");
    return fail(Errc::invalid,
                "no configuration: name a file or directory with --config (see ambientd --help)");
  }
  if (options.mode == Mode::waypoint && !options.workload) {
    return fail(Errc::invalid, "a waypoint has to know who it is: --workload namespace/name/service-account");
  }
  if (options.mode == Mode::ztunnel && options.pods.empty() && !options.workload) {
    return fail(
        Errc::invalid,
        "no pod to serve: --pod namespace/name/service-account=/run/netns/X (repeatable), or --workload "
        "namespace/name/service-account for the network namespace this process runs in");
  }
  return {};
}

}  // namespace ambientd
