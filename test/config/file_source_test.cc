// SPDX-License-Identifier: Apache-2.0
#include "config/file_source.h"

#include <fstream>

#include "core/loop.h"
#include "test/support/catch.h"
#include "test/support/run.h"

using namespace ambientd;
using namespace ambientd::config;

namespace {

struct Directory {
  Directory() {
    char name[] = "/tmp/ambientd-source-XXXXXX";
    REQUIRE(mkdtemp(name));
    path = name;
  }
  ~Directory() { std::filesystem::remove_all(path); }
  void replace(const std::string& text) const {
    std::ofstream(path / ".next") << text;
    std::filesystem::rename(path / ".next", path / "mesh.yaml");
  }
  std::filesystem::path path;
};

std::string one_service(const std::string& name) {
  return "apiVersion: v1\nkind: Service\nmetadata: {name: " + name +
         ", namespace: demo}\nspec: {clusterIP: 10.0.0.1, ports: [{port: 80}]}\n";
}

struct Seen {
  int loads = 0, failures = 0;
  std::string service, error;
  Event news{"a load"};
};

Task<void> edits(Seen& seen) {
  Directory directory;
  directory.replace(one_service("first"));
  FileSource source({directory.path / "mesh.yaml"}, {[&seen](Loaded loaded) {
                                                       ++seen.loads;
                                                       seen.news.set();
                                                       seen.service = loaded.mesh.services.at(0).name;
                                                     },
                                                     [&seen](const Error& error) {
                                                       ++seen.failures;
                                                       seen.news.set();
                                                       seen.error = error.detail;
                                                     }});
  co_await seen.news;
  seen.news.reset();
  CHECK(seen.service == "first");
  directory.replace("kind: [");
  co_await seen.news;
  seen.news.reset();
  CHECK(seen.loads == 1);
  CHECK(seen.error.find("mesh.yaml:1") != std::string::npos);
  directory.replace(one_service("second"));
  co_await seen.news;
  seen.news.reset();
  CHECK(seen.service == "second");
}

}  // namespace

TEST_CASE("a changed file is loaded again, a bad edit leaves the last good mesh") {
  Loop loop;
  Seen seen;
  test::run(loop, edits(seen));
}
