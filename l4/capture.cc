// SPDX-License-Identifier: Apache-2.0
#include "l4/capture.h"

#include <algorithm>

#include "core/log.h"
#include "l4/inbound.h"
#include "l4/outbound.h"
#include "l4/plaintext.h"
#include "l4/ports.h"

namespace ambientd::l4 {
namespace {

Result<Fd> bind_one(const Pod& pod, uint16_t port, const char* component, const Settings& settings,
                    bool& transparent) {
  Result<Fd> fd = pod.listen(port, settings, &transparent);
  if (!fd) return fail(fd.error().code, "pod " + pod.spec().key() + ": " + fd.error().detail);
  std::string at = local_address(fd->get()).value_or(SockAddr{}).str();
  log::info("proxy", "listener established",
            {{"address", log::display(at)},
             {"pod", pod.spec().key()},
             {"component", component},
             {"transparent", transparent}});
  return fd;
}

// Which worker takes the next HBONE connection: the one with the fewest.
Worker& least_loaded(Worker& here) {
  auto by_load = [](const Worker* a, const Worker* b) { return a->load < b->load; };
  return **std::ranges::min_element(here.all, by_load);
}

size_t place_of(const PodWorker& pod) {
  const auto& pods = pod.worker.pods;
  return static_cast<size_t>(
      std::ranges::find_if(pods, [&](const auto& each) { return each.get() == &pod; }) - pods.begin());
}

// Whether the pod may have one more connection. Said once a second: who floods us must not flood the log.
bool has_seat(PodWorker& pod) {
  static constexpr uint64_t kSayEveryMs = 1000;
  size_t most = pod.worker.settings.pod_connections;
  if (pod.pod.seats() < most) return true;
  uint64_t now = pod.worker.loop.now_ms();
  if (pod.told_full_ms != 0 && now - pod.told_full_ms < kSayEveryMs) return false;
  pod.told_full_ms = now;
  log::warn("proxy",
            "connections are refused: the pod has as many as it may (the limit comes from the process's "
            "open files, ulimit -n)",
            {{"pod", pod.pod.spec().key()}, {"connections", most}});
  return false;
}

void accept_peer(PodWorker& pod, Fd fd) {
  if (!has_seat(pod)) return;
  Worker& target = least_loaded(pod.worker);
  ++target.load;
  if (&target == &pod.worker) {
    target.loop.spawn("HBONE peer", serve_peer(&pod, std::move(fd)));
    return;
  }
  target.loop.post([&target, place = place_of(pod), fd = std::move(fd)]() mutable {
    target.loop.spawn("HBONE peer", serve_peer(target.pods[place].get(), std::move(fd)));
  });
}

}  // namespace

Result<Listeners> Listeners::bind(const Pod& pod, const Settings& settings) {
  Listeners out;
  Result<Fd> hbone = bind_one(pod, kHbonePort, "inbound", settings, out.transparent);
  if (!hbone) return fail(std::move(hbone.error()));
  Result<Fd> plaintext = bind_one(pod, kPlaintextPort, "inbound plaintext", settings, out.transparent);
  if (!plaintext) return fail(std::move(plaintext.error()));
  Result<Fd> outbound = bind_one(pod, kOutboundPort, "outbound", settings, out.transparent);
  if (!outbound) return fail(std::move(outbound.error()));
  out.hbone = std::move(*hbone);
  out.plaintext = std::move(*plaintext);
  out.outbound = std::move(*outbound);
  return out;
}

Capture::Capture(Listeners listeners, PodWorker& pod)
    : hbone_(std::move(listeners.hbone), [&pod](Fd fd) { accept_peer(pod, std::move(fd)); }),
      plaintext_(std::move(listeners.plaintext),
                 [&pod](Fd fd) {
                   if (has_seat(pod))
                     pod.worker.loop.spawn("plaintext client", serve_plaintext(&pod, std::move(fd)));
                 }),
      outbound_(std::move(listeners.outbound), [&pod](Fd fd, const SockAddr& from) {
        if (has_seat(pod)) take_call(pod, std::move(fd), from);
      }) {}

}  // namespace ambientd::l4
