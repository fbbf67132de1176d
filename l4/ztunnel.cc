// SPDX-License-Identifier: Apache-2.0
#include "l4/ztunnel.h"

#include <algorithm>
#include <thread>

#include "core/log.h"
#include "core/memory.h"
#include "core/timers.h"
#include "l4/capture.h"
#include "l4/pod.h"
#include "l4/worker.h"

namespace ambientd::l4 {
namespace {

constexpr uint64_t kLookEveryMs = 10;  // while draining
constexpr uint64_t kUnwindMs = 1000;   // from the cut until the stories have ended and logged
constexpr int kLastLooks = 300;        // of 10 ms, before what is stuck is left to the end of the process

// Whether pods are served in namespaces of their own, and not only this process's.
bool serves_namespaces(const Settings& settings) {
  return std::ranges::any_of(settings.pods, [](const PodSpec& each) { return !each.netns.empty(); });
}

}  // namespace

struct Ztunnel::Served {
  std::unique_ptr<Pod> pod;
  Listeners listeners;               // until the capture starts
  size_t worker = 0;                 // that polls the listeners
  std::unique_ptr<Capture> capture;  // only touched on that worker
};

// Drain: listeners close and GOAWAYs go out at once; then we look, now and again, whether all stories have
// ended; at the deadline every scope is closed, and the stories get a moment to unwind and to log.
struct Ztunnel::Draining {
  Draining(Ztunnel& of, uint64_t deadline, std::function<void()> then)
      : ztunnel(of), deadline_ms(deadline), done(std::move(then)), timer([this] { look(); }) {}

  void look() {
    uint64_t now = ztunnel.main_.now_ms();
    bool over = ztunnel.stories() == 0 || (cut && now >= deadline_ms + kUnwindMs);
    if (over) {
      std::function<void()> then = std::exchange(done, nullptr);
      return then();
    }
    if (!cut && now >= deadline_ms) {
      cut = true;
      ztunnel.workers_.each([&states = ztunnel.states_](size_t i) { states[i]->cut(); });
    }
    ztunnel.main_.set_timer(timer, kLookEveryMs);
  }

  Ztunnel& ztunnel;
  uint64_t deadline_ms;
  std::function<void()> done;
  bool cut = false;
  Timer timer;
};

Ztunnel::Ztunnel(Workers& workers, Certificates& certificates, metrics::Registry& registry, Settings settings)
    : workers_(workers),
      certificates_(certificates),
      settings_(std::move(settings)),
      main_(Loop::current()),
      metrics_(registry),
      counts_(registry, serves_namespaces(settings_)) {
  std::vector<Worker*> all;
  for (size_t i = 0; i < workers.size(); ++i) {
    states_.push_back(std::make_unique<Worker>(workers.loop(i), settings_, certificates_, metrics_, i + 1));
    all.push_back(states_.back().get());
  }
  for (Worker* each : all) each->all = all;
}

// Ends what a drain has not: stories resume a last time to unwind, pools close their connections.
Ztunnel::~Ztunnel() {
  stop_capture();
  workers_.each_and_wait([this](size_t i) {
    states_[i]->drain();
    states_[i]->cut();
  });
  std::atomic<size_t> open = 1;
  for (int looks = 0; (stories() > 0 || open > 0) && looks < kLastLooks; ++looks) {
    open = 0;
    workers_.each_and_wait([this, &open](size_t i) {
      for (const std::unique_ptr<PodWorker>& pod : states_[i]->pods) open += pod->pool.empty() ? 0 : 1;
    });
    if (stories() > 0 || open > 0) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  bool stuck = stories() > 0 || open > 0;
  workers_.each_and_wait([this, stuck](size_t i) {
    if (stuck) {
      (void)states_[i].release();  // a story still refers to it
    } else {
      states_[i].reset();
    }
  });
}

Status Ztunnel::start() {
  if (settings_.pods.empty())
    return fail(Errc::invalid,
                "no pod to serve: name one with --pod namespace/name/service-account=/path/of/netns, or this "
                "process's own namespace with --workload namespace/name/service-account");
  for (const PodSpec& spec : settings_.pods) {
    Result<std::unique_ptr<Pod>> pod = Pod::open(spec, settings_.mark);
    if (!pod) return fail(std::move(pod.error()));
    Result<Listeners> listeners = Listeners::bind(**pod, settings_);
    if (!listeners) return fail(std::move(listeners.error()));
    auto served = std::make_unique<Served>();
    served->pod = std::move(*pod);
    served->listeners = std::move(*listeners);
    served->worker = served_.size() % workers_.size();
    served_.push_back(std::move(served));
  }
  workers_.each_and_wait([this](size_t i) {
    for (const std::unique_ptr<Served>& each : served_) {
      states_[i]->pods.push_back(std::make_unique<PodWorker>(*states_[i], *each->pod));
      states_[i]->pods.back()->transparent = each->listeners.transparent;
    }
  });
  started_ = true;
  counts_.bound(served_.size());
  return {};
}

void Ztunnel::publish(config::SnapshotPtr snapshot) {
  snapshot_ = std::move(snapshot);
  workers_.each([this, now = snapshot_](size_t i) {
    config::SnapshotPtr before = states_[i]->snapshot;
    states_[i]->take(now);
    main_.post([before = std::move(before)]() mutable {  // the last reference goes on the main loop
      bool last = before.use_count() == 1;
      before.reset();
      if (last) release_heap();
    });
  });
  if (started_ && !capturing_ && !draining_) start_capture();
}

void Ztunnel::start_capture() {
  capturing_ = true;
  counts_.started(served_.size());
  for (size_t pod = 0; pod < served_.size(); ++pod) {
    Served& served = *served_[pod];
    workers_.loop(served.worker).post([this, &served, pod] {
      PodWorker& here = *states_[served.worker]->pods[pod];
      served.capture = std::make_unique<Capture>(std::move(served.listeners), here);
    });
  }
}

void Ztunnel::stop_capture() {
  workers_.each_and_wait([this](size_t i) {
    for (const std::unique_ptr<Served>& each : served_) {
      if (each->worker != i) continue;
      each->capture.reset();
      each->listeners = {};
    }
  });
}

void Ztunnel::certificates_changed() {
  workers_.each([this](size_t i) { states_[i]->reconsider(); });
}

void Ztunnel::revocations_changed() {
  workers_.each([this](size_t i) { states_[i]->revoke(); });
}

void Ztunnel::drain(std::chrono::milliseconds deadline, std::function<void()> done) {
  log::info("drain", "no new connections; those that are open may finish",
            {{"deadline_ms", static_cast<int64_t>(deadline.count())}, {"open", stories()}});
  stop_capture();
  counts_.stopped();
  workers_.each([this](size_t i) { states_[i]->drain(); });
  uint64_t until = main_.now_ms() + static_cast<uint64_t>(deadline.count());
  draining_ = std::make_unique<Draining>(*this, until, std::move(done));
  main_.set_timer(draining_->timer, kLookEveryMs);
}

size_t Ztunnel::stories() const {
  size_t n = 0;
  for (const std::unique_ptr<Worker>& each : states_) n += each->stories;
  return n;
}

std::vector<std::string> Ztunnel::pending() const {
  std::vector<std::string> out;
  if (!started_) out.emplace_back("proxy");
  if (!snapshot_) out.emplace_back("state manager");
  return out;
}

std::vector<PodView> Ztunnel::views() const {
  std::vector<std::vector<PodView>> parts(states_.size(), std::vector<PodView>(served_.size()));
  workers_.each_and_wait([this, &parts](size_t i) { collect(*states_[i], parts[i]); });
  std::vector<PodView> out(served_.size());
  for (size_t pod = 0; pod < served_.size(); ++pod) {
    for (std::vector<PodView>& part : parts) {
      out[pod].spec = part[pod].spec;
      out[pod].uid = part[pod].uid;
      std::ranges::move(part[pod].connections, std::back_inserter(out[pod].connections));
    }
  }
  return out;
}

}  // namespace ambientd::l4
