// SPDX-License-Identifier: Apache-2.0
// The part of redirect that runs programs: iptables-save, iptables-restore and ip, never through a shell.
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <vector>

#include "core/text.h"
#include "l4/redirect.h"

namespace ambientd::l4::redirect {
namespace {

using Arguments = std::vector<std::string>;

struct Outcome {
  int status = 0;  // exit status; 128 + the signal when killed
  std::string out, err;
};

// An anonymous file: a child's whole standard input or output, so that no pipe can fill up.
class Scratch {
 public:
  Scratch() : fd_(memfd_create("redirect", MFD_CLOEXEC)) {}
  Scratch(const Scratch&) = delete;
  ~Scratch() {
    if (fd_ >= 0) close(fd_);
  }
  int fd() const { return fd_; }

  bool fill(std::string_view text) const {
    return write(fd_, text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
           lseek(fd_, 0, SEEK_SET) == 0;
  }

  std::string text() const {
    std::string all;
    char part[4096];
    for (off_t at = 0;;) {
      ssize_t n = pread(fd_, part, sizeof part, at);
      if (n <= 0) return all;
      all.append(part, static_cast<size_t>(n));
      at += n;
    }
  }

 private:
  int fd_;
};

bool executable(const std::string& path) { return access(path.c_str(), X_OK) == 0; }

// A program's path: from PATH, then from where administrators' programs live (PATH often lacks those).
std::string find_program(std::string_view program) {
  const char* path = std::getenv("PATH");
  std::string places = fmt::format("{}:/usr/sbin:/sbin:/usr/local/sbin:/usr/bin:/bin", path ? path : "");
  for (std::string_view place : split(places, ':')) {
    std::string candidate = fmt::format("{}/{}", place, program);
    if (place.starts_with('/') && executable(candidate)) return candidate;
  }
  return {};
}

int exit_status(int waited) { return WIFEXITED(waited) ? WEXITSTATUS(waited) : 128 + WTERMSIG(waited); }

std::vector<char*> pointers(Arguments& arguments) {
  std::vector<char*> all;
  for (std::string& argument : arguments) all.push_back(argument.data());
  all.push_back(nullptr);
  return all;
}

int spawn(Arguments& arguments, const Scratch& in, const Scratch& out, const Scratch& err, pid_t& child) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in.fd(), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out.fd(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, err.fd(), STDERR_FILENO);
  int failed =
      posix_spawn(&child, arguments[0].c_str(), &actions, nullptr, pointers(arguments).data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  return failed;
}

// Runs a program to its end. arguments[0] is its path; into the outcome goes all it printed.
Result<Outcome> run(Arguments arguments, std::string_view input = {}) {
  Scratch in, out, err;
  if (in.fd() < 0 || out.fd() < 0 || err.fd() < 0 || !in.fill(input))
    return fail(os_error(Errc::io, "redirect: memory for a child's input and output", errno));
  pid_t child = 0;
  if (int failed = spawn(arguments, in, out, err, child))
    return fail(os_error(Errc::io, "redirect: start " + arguments[0], failed));
  int waited = 0;
  while (waitpid(child, &waited, 0) < 0)
    if (errno != EINTR) return fail(os_error(Errc::io, "redirect: wait for " + arguments[0], errno));
  return Outcome{exit_status(waited), out.text(), err.text()};
}

std::string one_line(std::string_view text) {
  std::string out;
  for (std::string_view line : split(text, '\n')) {
    line = trim(line);
    if (!line.empty()) out += (out.empty() ? "" : "; ") + std::string(line);
  }
  return out;
}

Error refused(const Arguments& arguments, const Outcome& outcome) {
  std::string command = std::filesystem::path(arguments[0]).filename();
  for (size_t i = 1; i < arguments.size(); ++i) command += " " + arguments[i];
  return {Errc::io,
          fmt::format("redirect: {}: exit status {}: {}", command, outcome.status, one_line(outcome.err))};
}

// As run(), and any exit status but 0 is an error.
Result<std::string> must(Arguments arguments, std::string_view input = {}) {
  Result<Outcome> outcome = run(arguments, input);
  if (!outcome) return fail(outcome.error());
  if (outcome->status != 0) return fail(refused(arguments, *outcome));
  return std::move(outcome->out);
}

bool has_net_admin() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  if (syscall(SYS_capget, &header, data) != 0) return false;
  return (data[0].effective & (1u << CAP_NET_ADMIN)) != 0;
}

// The tools for one family. iptables comes in two builds; where the plain name is missing either will do.
struct Tools {
  Family family;
  std::string save, restore, ip;
  std::string_view flag() const { return family == Family::v4 ? "-4" : "-6"; }
  std::string_view everywhere() const { return family == Family::v4 ? "0.0.0.0/0" : "::/0"; }
};

Result<Tools> find_tools(Family family) {
  std::string_view stem = family == Family::v4 ? "iptables" : "ip6tables";
  std::string ip = find_program("ip");
  if (ip.empty()) return fail(Errc::not_found, "redirect: `ip` is not installed: apt-get install iproute2");
  for (std::string_view build : {"", "-nft", "-legacy"}) {
    std::string save = find_program(fmt::format("{}{}-save", stem, build));
    std::string restore = find_program(fmt::format("{}{}-restore", stem, build));
    if (!save.empty() && !restore.empty()) return Tools{family, save, restore, ip};
  }
  return fail(Errc::not_found,
              fmt::format("redirect: `{}-restore` is not installed: apt-get install iptables", stem));
}

// IPv6 is the kernel's (a namespace may still switch it off per interface).
bool kernel_has_ipv6() { return std::filesystem::exists("/proc/sys/net/ipv6"); }

bool loopback_has_ipv6() {
  std::ifstream in("/proc/sys/net/ipv6/conf/lo/disable_ipv6");
  std::string value;
  return in >> value && value == "0";
}

bool can_route(const Tools& tools) { return tools.family == Family::v4 || loopback_has_ipv6(); }

Arguments rule(const Tools& tools, std::string_view verb) {
  return {tools.ip, std::string(tools.flag()),
          "rule",   std::string(verb),
          "fwmark", "0x111/0xfff",
          "pref",   "32764",
          "lookup", "100"};
}

Arguments route(const Tools& tools, std::string_view verb) {
  return {tools.ip, std::string(tools.flag()),
          "route",  std::string(verb),
          "local",  std::string(tools.everywhere()),
          "dev",    "lo",
          "table",  "100"};
}

// How many copies of our rule there are: `32764: from all fwmark 0x111/0xfff lookup 100`.
Result<int> count_rules(const Tools& tools) {
  Result<std::string> shown = must({tools.ip, "-N", std::string(tools.flag()), "rule", "show"});
  if (!shown) return fail(shown.error());
  int count = 0;
  for (std::string_view line : split(*shown, '\n'))
    if (trim(line) == "32764:\tfrom all fwmark 0x111/0xfff lookup 100") ++count;
  return count;
}

Status set_rule_count(const Tools& tools, int wanted) {
  Result<int> there = count_rules(tools);
  if (!there) return fail(there.error());
  for (int n = *there; n != wanted; n += n < wanted ? 1 : -1) {
    Result<std::string> done = must(rule(tools, n < wanted ? "add" : "del"));
    if (!done) return fail(done.error());
  }
  return {};
}

// iproute2 fails to show a table that has never been used; that is the same as empty.
Result<bool> has_route(const Tools& tools) {
  Arguments show = {tools.ip, std::string(tools.flag()), "route", "show", "table", "100"};
  Result<Outcome> shown = run(show);
  if (!shown) return fail(shown.error());
  if (shown->status != 0 && !shown->err.contains("table does not exist")) return fail(refused(show, *shown));
  return shown->out.contains("local default dev lo");
}

Status add_routing(const Tools& tools) {
  if (!can_route(tools)) return {};
  Status ruled = set_rule_count(tools, 1);
  if (!ruled) return ruled;
  Result<std::string> routed = must(route(tools, "replace"));
  if (routed) return {};
  return fail(Errc::io, routed.error().detail + " (is the loopback interface up? ip link set lo up)");
}

Status remove_routing(const Tools& tools) {
  Status ruled = set_rule_count(tools, 0);
  if (!ruled) return ruled;
  Result<bool> there = has_route(tools);
  if (!there) return fail(there.error());
  if (!*there) return {};
  Result<std::string> routed = must(route(tools, "del"));
  if (!routed) return fail(routed.error());
  return {};
}

Status change_rules(const Tools& tools, const std::optional<Options>& options) {
  Result<std::string> saved = must({tools.save});
  if (!saved) return fail(saved.error());
  std::string text = change(tools.family, *saved, options);
  if (text.empty()) return {};
  Result<std::string> restored = must({tools.restore, "--noflush", "--wait=10"}, text);
  if (!restored) return fail(restored.error());
  return {};
}

// Routing stands before anything is captured, and goes after the last rule that needs it.
Status change_family(Family family, const std::optional<Options>& options) {
  Result<Tools> tools = find_tools(family);
  if (!tools) return fail(tools.error());
  if (options)
    if (Status routed = add_routing(*tools); !routed) return routed;
  Status ruled = change_rules(*tools, options);
  if (!ruled || options) return ruled;
  return remove_routing(*tools);
}

Status change_namespace(const std::optional<Options>& options) {
  if (!has_net_admin())
    return fail(Errc::denied,
                "redirect: needs CAP_NET_ADMIN in this network namespace: run as root, e.g. ip netns exec NS "
                "ambientd "
                "redirect --apply");
  Status done = change_family(Family::v4, options);
  if (!done || !kernel_has_ipv6()) return done;
  return change_family(Family::v6, options);
}

}  // namespace

Status apply(const Options& options) { return change_namespace(options); }

Status remove() { return change_namespace(std::nullopt); }

}  // namespace ambientd::l4::redirect
