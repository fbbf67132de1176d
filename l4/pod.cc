// SPDX-License-Identifier: Apache-2.0
#include "l4/pod.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>

#include <cerrno>
#include <cstdlib>

#include "core/log.h"
#include "core/text.h"
#include "l4/ports.h"

namespace ambientd::l4 {
namespace {

// The calling thread inside a network namespace, for the time of one system call or two.
class Inside {
 public:
  Inside(int netns, int home)
      : home_(netns < 0 ? -1 : home), failed_(netns >= 0 && setns(netns, CLONE_NEWNET) != 0) {}
  ~Inside() {
    // A thread that is stuck in a pod's namespace would serve the wrong pod from now on.
    if (home_ >= 0 && !failed_ && setns(home_, CLONE_NEWNET) != 0) std::abort();
  }
  Inside(const Inside&) = delete;
  bool failed() const { return failed_; }

 private:
  int home_;
  bool failed_;
};

Result<Fd> open_namespace(const std::string& path) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail(os_error(Errc::io, "open network namespace " + path, errno));
  return fd;
}

Error cannot_enter(const PodSpec& spec, int err) {
  return os_error(Errc::io,
                  fmt::format("enter network namespace {} of pod {} (CAP_SYS_ADMIN is needed; run as root)",
                              spec.netns, spec.key()),
                  err);
}

Status make_transparent(int fd, bool v6, const Settings& settings, uint16_t port, bool* transparent) {
  *transparent = false;
  if (settings.original_source == OriginalSource::never) return {};
  Status set = set_transparent(fd, v6);
  if (!set && settings.original_source == OriginalSource::require)
    return fail(Errc::io, fmt::format("listen on port {}: {}", port, set.error().detail));
  *transparent = set.has_value();
  return {};
}

}  // namespace

Result<PodSpec> parse_pod(std::string_view text) {
  size_t equals = text.find('=');
  std::vector<std::string_view> parts = split(text.substr(0, equals), '/');
  bool good = parts.size() == 3;
  for (std::string_view part : parts) good = good && !part.empty();
  if (equals != text.npos && equals + 1 == text.size()) good = false;
  if (!good)
    return fail(Errc::invalid, fmt::format("pod {}: expected namespace/name/service-account, or "
                                           "namespace/name/service-account=/path/of/netns",
                                           quoted(text)));
  PodSpec spec{std::string(parts[0]), std::string(parts[1]), std::string(parts[2]), {}};
  if (equals != text.npos) spec.netns = text.substr(equals + 1);
  return spec;
}

Result<std::unique_ptr<Pod>> Pod::open(PodSpec spec, uint32_t mark) {
  if (spec.netns.empty()) return std::unique_ptr<Pod>(new Pod(std::move(spec), mark, Fd(), Fd()));
  Result<Fd> home = open_namespace("/proc/thread-self/ns/net");
  if (!home) return fail(std::move(home.error()));
  Result<Fd> netns = open_namespace(spec.netns);
  if (!netns) return fail(std::move(netns.error()));
  std::unique_ptr<Pod> pod(new Pod(std::move(spec), mark, std::move(*netns), std::move(*home)));
  Inside inside(pod->netns_.get(), pod->home_.get());
  if (inside.failed()) return fail(cannot_enter(pod->spec_, errno));
  return pod;
}

Result<Fd> Pod::socket(bool v6) const {
  Inside inside(netns_.get(), home_.get());
  if (inside.failed()) return fail(cannot_enter(spec_, errno));
  return tcp_socket(v6, mark_);
}

Result<Fd> Pod::listen(uint16_t port, const Settings& settings, bool* transparent) const {
  bool v6 = settings.ipv6;
  Result<Fd> fd = socket(v6);
  if (!fd && v6) fd = socket(v6 = false);  // a kernel without IPv6
  if (!fd) return fd;
  Status set = make_transparent(fd->get(), v6, settings, port, transparent);
  if (!set) return fail(std::move(set.error()));
  if (port != kHbonePort) {  // accepted sockets inherit both
    set_keepalive(fd->get(), settings.keepalive);
    set_congestion_control(fd->get(), settings.app_congestion_control);
  }
  Status listening = listen_on(fd->get(), {Ip::any(v6), port}, settings.backlog);
  if (!listening) return fail(std::move(listening.error()));
  return fd;
}

}  // namespace ambientd::l4
