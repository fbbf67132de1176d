// SPDX-License-Identifier: Apache-2.0
#include "l7/waypoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "core/log.h"
#include "l7/dialer.h"
#include "l7/downstream.h"
#include "l7/worker.h"

namespace ambientd::l7 {
namespace {

constexpr int kBacklog = 4096;
constexpr uint64_t kSweepMs = 60'000;  // of metric handles nobody used
constexpr uint64_t kUnwindMs = 1'000;  // from the cut until the stories have ended and logged
constexpr uint64_t kLookMs = 10;
constexpr int kLastLooks = 300;  // of kLookMs, before what is stuck is left to the end of the process

hbone::PoolLimits pool_limits(const Settings& settings) {
  hbone::PoolLimits limits;
  limits.connect_ms = settings.upstream.connect_ms;
  limits.release_ms = settings.release_ms;
  limits.session.stream_window_max = 1 << 20;
  return limits;
}

KeyStore::Fetch fetch_with(uint32_t mark) {
  return [mark](Url url, uint64_t timeout_ms, Scope& scope) {
    return fetch(std::move(url), {.timeout_ms = timeout_ms, .mark = mark}, scope);
  };
}

// The rules this waypoint may have to judge by: of its class, of its Gateway, and of the services it serves.
std::vector<policy::JwtRulePtr> own_rules(const config::Snapshot& snapshot, const Self& self) {
  const config::Attached<policy::JwtRulePtr>& all = snapshot.jwt_rules();
  std::vector<policy::JwtRulePtr> out = all.on("", self.gateway);
  for (const auto& [key, rules] : all.services) {
    size_t slash = key.find('/');
    config::ServicePtr service = snapshot.service(key.substr(0, slash), key.substr(slash + 1));
    if (service && is_bound(snapshot, self, *service)) out.insert(out.end(), rules.begin(), rules.end());
  }
  return out;
}

}  // namespace

// What lives on one worker's loop; built and destroyed there.
struct Waypoint::Node {
  Node(Waypoint& of, size_t index)
      : dialer(of.certificates_, of.settings_.mark),
        pool(pool_limits(of.settings_)),
        connector(pool, dialer, of.settings_.identity, of.settings_.upstream),
        worker(connector, of.families_, index + 1, of.settings_.upstream),
        downstreams(worker, of.certificates_, of.settings_.identity,
                    {of.settings_.handshake_ms, of.settings_.handshakes, of.settings_.connections}),
        sweep([this] {
          worker.telemetry.sweep();
          Loop::current().set_timer(sweep, kSweepMs);
        }) {
    Loop::current().set_timer(sweep, kSweepMs);
    worker.keys_missed = [&of](const std::string& source) {
      of.main_.post([&of, source] { of.keys_.missed(source); });
    };
  }

  // The mesh may turn the access log off (MeshConfig accessLogFile).
  void take(ViewPtr view) {
    worker.access_log = {};
    if (!view->snapshot->access_log_file().empty()) worker.access_log = write_line;
    bool other_keys = !worker.view || worker.view->keys != view->keys;
    worker.view = std::move(view);
    if (other_keys) worker.waiting_for_keys.each([](KeysWaiter& each) { each.over.set(); });
  }
  static void write_line(std::string_view line) {
    if (line.ends_with('\n')) line.remove_suffix(1);
    log::raw(line);
  }

  void drain() {
    acceptor.reset();
    worker.draining = true;
    worker.http1_servers.each([](Http1Server& each) { each.drain(); });
    worker.http2_servers.each([](Http2Server& each) { each.drain(); });
    downstreams.drain([this] {
      worker.upstreams.drain();
      pool.drain();
    });
  }
  bool empty() const { return downstreams.size() == 0 && worker.upstreams.empty() && pool.empty(); }

  Dialer dialer;
  hbone::Pool pool;
  MeshConnector connector;
  Worker worker;
  Downstreams downstreams;
  Timer sweep;
  std::unique_ptr<Acceptor> acceptor;
};

// Looks, now and again, whether all has ended; cuts what is left at the deadline.
struct Waypoint::Draining {
  Draining(Waypoint& of, uint64_t until_ms, std::function<void()> then)
      : waypoint(of), deadline_ms(until_ms), done(std::move(then)), timer([this] { look(); }) {}

  void look() {
    uint64_t now = Loop::current().now_ms();
    size_t open = waypoint.open();
    if (open == 0 || (cut && now >= deadline_ms + kUnwindMs)) {
      std::function<void()> then = std::exchange(done, nullptr);
      return then();
    }
    if (!cut && now >= deadline_ms) {
      cut = true;
      waypoint.cut();
    }
    Loop::current().set_timer(timer, kLookMs);
  }

  Waypoint& waypoint;
  uint64_t deadline_ms;
  std::function<void()> done;
  bool cut = false;
  Timer timer;
};

Waypoint::Waypoint(Workers& workers, Certificates& certificates, metrics::Registry& registry,
                   Settings settings)
    : workers_(workers),
      certificates_(certificates),
      settings_(std::move(settings)),
      families_(registry),
      main_(Loop::current()),
      keys_(fetch_with(settings_.mark), [this] { take_keys(); }),
      nodes_(workers.size()),
      loads_(workers.size()) {
  workers_.each_and_wait([this](size_t i) { nodes_[i] = std::make_unique<Node>(*this, i); });
}

// Ends what a drain has not: stories resume a last time to unwind, pools close their connections.
Waypoint::~Waypoint() {
  keys_.stop();
  workers_.each_and_wait([this](size_t i) { nodes_[i]->drain(); });
  cut();
  bool stuck = true;
  for (int looks = 0; stuck && looks < kLastLooks; ++looks) {
    std::atomic<bool> open = false;
    workers_.each_and_wait([&](size_t i) {
      if (!nodes_[i]->empty()) open = true;
    });
    stuck = open;
    if (stuck) std::this_thread::sleep_for(std::chrono::milliseconds(kLookMs));
  }
  workers_.each_and_wait([&](size_t i) {
    if (stuck) {
      (void)nodes_[i].release();  // a story still refers to it
    } else {
      nodes_[i].reset();
    }
  });
}

// On [::], which takes IPv4 as well; on 0.0.0.0 where the kernel has no IPv6.
Result<Fd> Waypoint::listening_socket() const {
  Status listening;
  for (bool v6 : {true, false}) {
    Result<Fd> socket = tcp_socket(v6, settings_.mark);
    if (!socket && !v6) return socket;
    if (!socket) continue;
    listening = listen_on(socket->get(), {Ip::any(v6), settings_.port}, kBacklog);
    if (listening) return socket;
  }
  return fail(std::move(listening.error()));
}

Status Waypoint::start() {
  Result<Fd> socket = listening_socket();
  if (!socket) return fail(std::move(socket.error()));
  certificates_.get(settings_.identity, [](const Result<WorkloadCertificatePtr>& first) {
    if (!first) log::error("waypoint", "no certificate", {{"error", first.error().detail}});
  });
  if (std::optional<SockAddr> at = local_address(socket->get())) port_ = at->port;
  workers_.loop(0).post([this, fd = std::move(*socket)]() mutable {
    nodes_[0]->acceptor =
        std::make_unique<Acceptor>(std::move(fd), [this](Fd each) { accepted(std::move(each)); });
  });
  listening_ = true;
  return {};
}

// On the accepting worker: the connection goes to the one with the fewest, before anything is read from it.
void Waypoint::accepted(Fd fd) {
  auto least =
      std::ranges::min_element(loads_, {}, [](const std::atomic<size_t>& load) { return load.load(); });
  size_t index = static_cast<size_t>(least - loads_.begin());
  least->fetch_add(1, std::memory_order_relaxed);
  workers_.loop(index).post([this, index, mine = std::move(fd)]() mutable {
    nodes_[index]->downstreams.take(std::move(mine), loads_[index]);
  });
}

void Waypoint::publish(config::SnapshotPtr snapshot) {
  auto view = std::make_shared<View>();
  view->routes = std::make_shared<const RouteTables>(*snapshot, view_ ? view_->routes.get() : nullptr);
  Result<Self> self = Self::find(*snapshot, settings_.pod, settings_.identity.ns, settings_.identity.sa);
  if (self) view->self = std::move(*self);
  unknown_ = self ? "" : self.error().detail;
  keys_.want(view->self ? own_rules(*snapshot, *view->self) : std::vector<policy::JwtRulePtr>());
  view->keys = keys_.table();
  view->snapshot = std::move(snapshot);
  share(std::move(view));
}

void Waypoint::take_keys() {
  auto view = std::make_shared<View>(*view_);
  view->keys = keys_.table();
  share(std::move(view));
}

void Waypoint::share(std::shared_ptr<View> view) {
  std::erase_if(former_, [](const ViewPtr& each) { return each.use_count() == 1; });
  if (view_) former_.push_back(view_);
  view_ = std::move(view);
  workers_.each([this, now = view_](size_t i) { nodes_[i]->take(now); });
}

void Waypoint::certificates_changed() {
  WorkloadCertificatePtr now = certificates_.current(settings_.identity);
  if (!now) return;
  workers_.each([this, now](size_t i) {
    nodes_[i]->pool.reconsider(*now);
    nodes_[i]->downstreams.reconsider(*now);
  });
}

void Waypoint::revocations_changed() {
  workers_.each([this](size_t i) {
    nodes_[i]->pool.revoke();
    nodes_[i]->downstreams.revoke();
  });
}

void Waypoint::drain(std::chrono::milliseconds deadline, std::function<void()> done) {
  log::info("drain", "no new connections; requests in flight may finish",
            {{"deadline_ms", static_cast<int64_t>(deadline.count())}, {"open", open()}});
  keys_.stop();
  workers_.each([this](size_t i) { nodes_[i]->drain(); });
  uint64_t until = Loop::current().now_ms() + static_cast<uint64_t>(deadline.count());
  draining_ = std::make_unique<Draining>(*this, until, std::move(done));
  Loop::current().set_timer(draining_->timer, kLookMs);
}

void Waypoint::cut() {
  workers_.each(
      [this](size_t i) { nodes_[i]->downstreams.cut({Errc::draining, "the waypoint is going away"}); });
}

size_t Waypoint::open() const {
  size_t n = 0;
  for (const std::atomic<size_t>& load : loads_) n += load.load(std::memory_order_relaxed);
  return n;
}

std::vector<std::string> Waypoint::pending() const {
  std::vector<std::string> out;
  if (!listening_) out.emplace_back("listener: not started");
  if (!view_) out.emplace_back("configuration: not loaded");
  if (!unknown_.empty()) out.push_back("configuration: " + unknown_);
  if (!certificates_.current(settings_.identity))
    out.push_back("certificate: none for " + settings_.identity.uri() + " yet");
  return out;
}

std::vector<Waypoint::ConnectionInfo> Waypoint::connections() {
  std::vector<std::vector<ConnectionInfo>> parts(workers_.size());
  workers_.each_and_wait([&](size_t i) {
    uint64_t now = Loop::current().now_ms();
    nodes_[i]->downstreams.each([&](const Downstream& each) {
      parts[i].push_back({.peer = each.peer.address,
                          .identity = each.peer.identity ? each.peer.identity->uri() : "",
                          .tunnels = each.session ? each.session->exchanges() : 0,
                          .age_ms = now - each.since_ms});
    });
  });
  std::vector<ConnectionInfo> out;
  for (std::vector<ConnectionInfo>& part : parts) std::ranges::move(part, std::back_inserter(out));
  return out;
}

}  // namespace ambientd::l7
