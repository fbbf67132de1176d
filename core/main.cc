// SPDX-License-Identifier: Apache-2.0
// The table of contents: arguments to options, options to parts, parts put together, run, drained. Everything
// it calls lives in a folder of its own.
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <span>

#include "config/file_source.h"
#include "core/admin_ports.h"
#include "core/ctl.h"
#include "core/demo_ca.h"
#include "core/file_signer.h"
#include "core/flags.h"
#include "core/local_ca.h"
#include "core/log.h"
#include "core/memory.h"
#include "core/metrics.h"
#include "core/revocation_watch.h"
#include "core/signals.h"
#include "core/version.h"
#include "core/workers.h"
#include "l4/redirect.h"
#include "l4/why_page.h"
#include "l4/ztunnel.h"
#include "l7/waypoint.h"

namespace ambientd {
namespace {

using std::chrono::milliseconds;

int complain(const Error& error) {
  std::fprintf(stderr, "ambientd: %s\n", error.detail.c_str());
  return 1;
}

int report(const Status& status) { return status ? 0 : complain(status.error()); }

void raise_file_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

std::vector<std::filesystem::path> config_paths(const Options& options) {
  return {options.config.begin(), options.config.end()};
}

int check(const Options& options) {
  config::Problems problems = config::check(config_paths(options));
  for (const config::Problem& problem : problems) {
    bool error = problem.severity == config::Severity::error;
    std::printf("%s: %s\n", error ? "error" : "warning", problem.str().c_str());
  }
  if (config::any_error(problems)) return 1;
  std::printf("%zu files or directories checked, no errors\n", options.config.size());
  return 0;
}

Result<std::unique_ptr<Signer>> make_signer(const Options& options) {
  const IdentityFiles& files = options.identity;
  if (!files.cert.empty()) return file_signer({files.cert, files.key, files.root});
  if (!files.ca_cert.empty()) return local_ca_signer(files.ca_cert, files.ca_key, options.secret_ttl);
  Result<DemoCa> demo = demo_ca(files.ca_dir, std::chrono::system_clock::now());
  if (!demo) return fail(std::move(demo.error()));
  log::warn("identity", demo->notice);
  return local_ca_signer(demo->cert_file, demo->key_file, options.secret_ttl);
}

// Either proxy, as the rest of the program sees it.
struct Proxy {
  std::function<Status()> start;
  std::function<void(config::SnapshotPtr)> publish;
  std::function<void()> certificates_changed, revocations_changed;
  std::function<void(milliseconds, std::function<void()>)> drain;
  std::function<std::vector<std::string>()> pending;
};

template <class Mode>
Proxy as_proxy(std::shared_ptr<Mode> mode) {
  return {
      [mode] { return mode->start(); },
      [mode](config::SnapshotPtr snapshot) { mode->publish(std::move(snapshot)); },
      [mode] { mode->certificates_changed(); },
      [mode] { mode->revocations_changed(); },
      [mode](milliseconds deadline, std::function<void()> done) { mode->drain(deadline, std::move(done)); },
      [mode] { return mode->pending(); }};
}

class Process {
 public:
  Process(const Options& options, std::unique_ptr<Signer> signer,
          std::unique_ptr<RevocationWatch> revocations)
      : options_(options),
        workers_(options.workers),
        registry_(options.workers + 1),
        revocations_(std::move(revocations)),
        certificates_(std::move(signer), certificate_events(), tls_rules()),
        admin_(options.mode, registry_, options.log_filter, admin_sources()),
        tick_([this] { tick(); }),
        expire_([this] { expire(); }) {
    metrics::add_process_gauges(registry_);
    const char* component = options_.mode == Mode::ztunnel ? "ztunnel" : "proxy";
    build_ = metrics::add_build(registry_, component, options_.istio_version);
    if (options_.mode == Mode::ztunnel) {
      auto mode =
          std::make_shared<l4::Ztunnel>(workers_, certificates_, registry_, l4::settings_from(options_));
      connections_ = [mode] { return mode->views(); };
      proxy_ = as_proxy(mode);
    } else {
      auto mode =
          std::make_shared<l7::Waypoint>(workers_, certificates_, registry_, l7::settings_from(options_));
      connections_ = [this, mode] { return view_of(*mode); };
      proxy_ = as_proxy(mode);
    }
  }

  // Returns the exit status.
  int run() {
    Status started = start();
    if (!started) {
      exit_ = complain(started.error());
      end();
    }
    main_.run();
    source_.reset();
    signals_.reset();
    proxy_ = {};
    connections_ = {};
    return exit_;
  }

 private:
  Status start() {
    Status listening = admin_.listen(options_.ports, options_.ipv6);
    if (!listening) return listening;
    Status bound = proxy_.start();
    if (!bound) return bound;
    signals_ = std::make_unique<Signals>([this](int signal) { on_signal(signal); });
    tick();
    expire();
    revocations_->start([this] { proxy_.revocations_changed(); });
    return open_source();
  }

  Status open_source() {
    if (!options_.local_xds.empty()) {
      Result<config::Loaded> inline_mesh = config::load_text(options_.local_xds, "LOCAL_XDS");
      if (!inline_mesh) return fail(std::move(inline_mesh.error()));
      take(std::move(*inline_mesh));
      return {};
    }
    source_ = std::make_unique<config::FileSource>(
        config_paths(options_),
        config::FileSource::Events{[this](config::Loaded loaded) { take(std::move(loaded)); },
                                   [this](const Error& error) { reject(error); }});
    return {};
  }

  Certificates::Events certificate_events() {
    Certificates::Events events;
    events.changed = [this] {
      main_.post([this] {
        if (ending_) return;
        proxy_.certificates_changed();
        tick();
      });
    };
    events.failed = [](const Error& error) { log::error("identity", error.detail); };
    return events;
  }

  void tick() {
    if (ending_) return;
    TimePoint now = std::chrono::system_clock::now();
    auto wait = std::chrono::ceil<milliseconds>(certificates_.tick(now) - now).count();
    main_.set_timer(tick_, static_cast<uint64_t>(std::max<int64_t>(wait, 1)));
  }

  TlsRules tls_rules() const {
    return {
        .tls12 = options_.tls12, .post_quantum = options_.post_quantum, .revocations = revocations_->lists()};
  }

  void expire() {
    static constexpr std::chrono::minutes kIdleSeries{15};
    registry_.expire(std::chrono::steady_clock::now(), kIdleSeries);
    main_.set_timer(expire_, 60'000);
  }

  void take(config::Loaded loaded) {
    for (const config::Problem& problem : loaded.problems) log::warn("config", problem.str());
    size_t workloads = loaded.mesh.workloads.size(), services = loaded.mesh.services.size();
    snapshot_ = config::Snapshot::build(std::move(loaded.mesh));
    proxy_.publish(snapshot_);
    release_heap();  // what parsing took
    if (!configured_) release_start_up_code();
    log::info("config", std::exchange(configured_, true) ? "configuration reloaded" : "configuration loaded",
              {{"workloads", workloads}, {"services", services}});
  }

  void reject(const Error& error) {
    if (configured_) {
      log::error("config", "rejected, the last good configuration stays: " + error.detail);
      return;
    }
    exit_ = complain(error);
    end();
  }

  // ---- admin ----

  AdminPorts::Sources admin_sources() {
    return {[this] { return config_dump(); }, [this] { return list_stories(workers_); },
            [this] { return pending(); }, [this] { begin_drain("quitquitquit"); }, why_page()};
  }

  Handler why_page() {
    if (options_.mode != Mode::ztunnel) return {};
    return [this](const AdminRequest& request) { return l4::answer_why(snapshot_.get(), options_, request); };
  }

  // A waypoint's dump has ztunnel's shape, so that the same tools read it.
  std::string config_dump() const {
    std::string dump = l4::config_dump(snapshot_.get(), certificates_.list(), connections_(), options_);
    release_heap();  // what its tree took
    return dump;
  }

  // Who is connected to a waypoint, in the place where a ztunnel's dump has its pods.
  std::vector<l4::PodView> view_of(l7::Waypoint& waypoint) const {
    const WorkloadName& own = *options_.workload;
    l4::PodView view{.spec = {own.ns, own.name, own.sa, ""}, .uid = "", .connections = {}};
    config::WorkloadPtr self = snapshot_ ? snapshot_->workload_by_name(own.name, own.ns, own.sa) : nullptr;
    SockAddr at{self && !self->addresses.empty() ? self->addresses[0] : Ip::any(options_.ipv6),
                waypoint.port()};
    if (self) view.uid = self->uid;
    for (const l7::Waypoint::ConnectionInfo& each : waypoint.connections())
      view.connections.push_back({.direction = l4::Direction::inbound,
                                  .from = each.peer,
                                  .target = at,
                                  .next = at,
                                  .forwarded_host = "",
                                  .hbone = true});
    return {std::move(view)};
  }

  std::vector<std::string> pending() const {
    std::vector<std::string> out = proxy_.pending();
    if (!configured_) out.emplace_back("state manager");
    if (ending_) out.emplace_back("shutting down");
    return out;
  }

  // ---- the end ----

  void on_signal(int signal) {
    if (std::exchange(ending_, true)) {
      log::warn("main", "second signal: ending at once");
      log::stop();
      _exit(0);
    }
    drain(signal == SIGINT ? "SIGINT" : "SIGTERM");
  }

  // Asked for by the admin port; asking twice changes nothing.
  void begin_drain(std::string_view why) {
    if (!std::exchange(ending_, true)) drain(why);
  }

  void drain(std::string_view why) {
    log::info("main", "shutdown: draining connections", {{"why", why}});
    proxy_.drain(options_.termination_deadline, [this] { end(); });
  }

  void end() {
    ending_ = true;
    main_.spawn("end", stop_all());
  }

  Task<void> stop_all() {
    co_await admin_.stop();
    tick_.cancel();
    expire_.cancel();
    revocations_->stop();
    main_.stop();
  }

  const Options& options_;
  Loop main_;
  Workers workers_;
  metrics::Registry registry_;
  metrics::Gauge build_;
  std::unique_ptr<RevocationWatch> revocations_;
  Certificates certificates_;
  Proxy proxy_;
  std::function<std::vector<l4::PodView>()> connections_;
  config::SnapshotPtr snapshot_;
  AdminPorts admin_;
  std::unique_ptr<Signals> signals_;
  std::unique_ptr<config::FileSource> source_;
  Timer tick_, expire_;
  bool configured_ = false, ending_ = false;
  int exit_ = 0;
};

int run(const Options& options) {
  Status can = runnable(options);
  if (can) can = check_rules({.tls12 = options.tls12, .post_quantum = options.post_quantum});
  if (!can) return complain(can.error());
  raise_file_limit();
  std::signal(SIGPIPE, SIG_IGN);
  log::start(options.log_json ? log::Shape::json : log::Shape::plain, options.log_filter);
  int status = 1;
  Result<std::unique_ptr<Signer>> signer = make_signer(options);
  Result<std::unique_ptr<RevocationWatch>> revocations = RevocationWatch::open(options.crl_path);
  if (!signer) {
    complain(signer.error());
  } else if (!revocations) {
    complain(revocations.error());
  } else {
    Process process(options, std::move(*signer), std::move(*revocations));
    status = process.run();
  }
  log::stop();
  return status;
}

int command(const Options& options) {
  switch (options.command) {
    case Command::run:
      return run(options);
    case Command::check:
      return check(options);
    case Command::redirect_apply:
      return report(l4::redirect::apply({options.redirect_dns}));
    case Command::redirect_remove:
      return report(l4::redirect::remove());
    case Command::redirect_print:
      std::fputs(l4::redirect::print({options.redirect_dns}).c_str(), stdout);
      return 0;
    case Command::ctl: {
      Result<std::string> shown = ctl::run(options.ctl);
      if (!shown) return complain(shown.error());
      std::fwrite(shown->data(), 1, shown->size(), stdout);
      return 0;
    }
    case Command::version:
      std::puts(version_line(options.istio_version).c_str());
      return 0;
    case Command::help:
      std::fputs((options.help.empty() ? help_text() : options.help).c_str(), stdout);
      return 0;
  }
  return 1;
}

}  // namespace
}  // namespace ambientd

int main(int argc, char** argv) {
  using namespace ambientd;
  std::span<const char* const> arguments(argv + 1, static_cast<size_t>(argc > 0 ? argc - 1 : 0));
  Result<Options> options = parse_flags(arguments, [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    return value ? std::optional<std::string>(value) : std::nullopt;
  });
  return options ? command(*options) : complain(options.error());
}
