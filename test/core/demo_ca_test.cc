// SPDX-License-Identifier: Apache-2.0
#include "core/demo_ca.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "core/credential_files.h"
#include "core/local_ca.h"
#include "test/support/catch.h"
#include "test/support/mint.h"

using namespace ambientd;
using namespace ambientd::test;
using Catch::Matchers::Contains;
using std::chrono::hours;

namespace {

TimePoint now() { return std::chrono::system_clock::now(); }

mode_t mode(const std::string& path) {
  struct stat st{};
  REQUIRE(stat(path.c_str(), &st) == 0);
  return st.st_mode & 07777;
}

// What a process of its own gets: 0 when it found the CA, 1 when it made it, 2 on an error. It waits on
// `start`.
pid_t ask_in_a_process(const std::string& dir, const int start[2]) {
  pid_t pid = fork();
  if (pid != 0) return pid;
  close(start[1]);
  char go;
  ssize_t ended = read(start[0], &go, 1);
  Result<DemoCa> ca = demo_ca(dir, now());
  bool usable = ca && ended == 0 && local_ca_signer(ca->cert_file, ca->key_file, hours(1));
  _exit(usable ? ca->made : 2);
}

int exit_status(pid_t pid) {
  int status = 0;
  REQUIRE(waitpid(pid, &status, 0) == pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 99;
}

}  // namespace

TEST_CASE("the demo CA is made once, for its owner only, and announced") {
  ScratchDir scratch;
  std::string dir = scratch.file("run/ambientd/ca");
  Result<DemoCa> first = demo_ca(dir, now());
  REQUIRE(first);
  CHECK(first->made);
  CHECK(mode(dir) == 0700);
  CHECK(mode(scratch.file("run")) == 0700);
  CHECK(mode(first->key_file) == 0600);
  CHECK_THAT(first->notice, Contains("made the demo CA in " + dir) && Contains("--ca-cert"));
  std::string made = *read_file(first->cert_file);

  Result<DemoCa> second = demo_ca(dir, now());
  REQUIRE(second);
  CHECK_FALSE(second->made);
  CHECK_THAT(second->notice, Contains("using the demo CA"));
  CHECK(*read_file(second->cert_file) == made);
  CHECK(local_ca_signer(second->cert_file, second->key_file, hours(1)));
}

TEST_CASE("processes that start together share one demo CA") {
  ScratchDir scratch;
  std::string dir = scratch.file("ca");
  int start[2];
  REQUIRE(pipe(start) == 0);
  std::vector<pid_t> children;
  for (int i = 0; i < 4; i++) children.push_back(ask_in_a_process(dir, start));
  close(start[0]);
  close(start[1]);  // all of them see the end of the pipe: go
  int makers = 0;
  for (pid_t child : children) {
    int status = exit_status(child);
    CHECK(status < 2);
    makers += status == 1;
  }
  CHECK(makers == 1);
}

TEST_CASE("a demo CA that has expired or was half made is made anew") {
  ScratchDir scratch;
  DemoCa first = *demo_ca(scratch.file("ca"), now());
  std::string made = *read_file(first.cert_file);
  Result<DemoCa> later = demo_ca(scratch.file("ca"), now() + hours(24 * 3651));
  REQUIRE(later);
  CHECK(later->made);
  CHECK(*read_file(later->cert_file) != made);

  std::filesystem::remove(first.cert_file);
  Result<DemoCa> again = demo_ca(scratch.file("ca"), now());
  REQUIRE(again);
  CHECK(again->made);
  CHECK(local_ca_signer(again->cert_file, again->key_file, hours(1)));
}

TEST_CASE("a demo CA is not kept where others can reach it, nor over what is not understood") {
  ScratchDir scratch;
  std::string open = scratch.file("open");
  REQUIRE(mkdir(open.c_str(), 0700) == 0);
  REQUIRE(chmod(open.c_str(), 0750) == 0);
  Result<DemoCa> shared = demo_ca(open, now());
  REQUIRE_FALSE(shared);
  CHECK(shared.error().code == Errc::invalid);
  CHECK_THAT(shared.error().detail, Contains(open) && Contains("chmod 0700"));

  REQUIRE(symlink(scratch.path.c_str(), scratch.file("link").c_str()) == 0);
  CHECK_FALSE(demo_ca(scratch.file("link"), now()));

  scratch.write("plain", "");
  Result<DemoCa> file = demo_ca(scratch.file("plain"), now());
  REQUIRE_FALSE(file);
  CHECK(file.error().code == Errc::io);

  DemoCa ca = *demo_ca(scratch.file("ca"), now());
  scratch.write("ca/ca-cert.pem", "garbage");
  Result<DemoCa> garbage = demo_ca(scratch.file("ca"), now());
  REQUIRE_FALSE(garbage);
  CHECK_THAT(garbage.error().detail, Contains(ca.cert_file) && Contains("remove it"));
}
