// SPDX-License-Identifier: Apache-2.0
#include "config/loader.h"

#include <unistd.h>

#include <fstream>

#include "test/config/given.h"

namespace ambientd::config {
namespace {

namespace fs = std::filesystem;

class Folder {
 public:
  Folder() {
    std::string name = (fs::temp_directory_path() / "ambientd-config-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~Folder() {
    std::error_code ec;
    fs::remove_all(path_, ec);
  }
  fs::path write(const std::string& name, std::string_view text) const {
    std::ofstream(path_ / name) << text;
    return path_ / name;
  }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

}  // namespace

TEST_CASE("a directory stands for its YAML and JSON files in order, hidden ones left out") {
  Folder folder;
  for (const char* name : {"b.yml", "a.yaml", "c.json", "d.txt", ".e.yaml"}) folder.write(name, "");
  fs::create_directory(folder.path() / "f.yaml");
  fs::path paths[] = {folder.path()};
  Result<std::vector<fs::path>> files = list_files(paths);
  REQUIRE(files);
  std::vector<std::string> names;
  for (const fs::path& file : *files) names.push_back(file.filename());
  CHECK(names == std::vector<std::string>{"a.yaml", "b.yml", "c.json"});
}

TEST_CASE("objects of several files make one mesh") {
  Folder folder;
  folder.write("pods.yaml", pod("demo", "p", "10.0.0.1", "app: a"));
  folder.write("services.yaml", service("demo", "a", "10.1.0.1"));
  fs::path paths[] = {folder.path()};
  Result<Loaded> loaded = load(paths);
  REQUIRE(loaded);
  CHECK(loaded->mesh.workloads.at(0).services.size() == 1);
}

TEST_CASE("one error anywhere and nothing is taken; the first errors are named") {
  Folder folder;
  folder.write("good.yaml", pod("demo", "p", "10.0.0.1", "app: a"));
  std::string bad;
  for (int i = 0; i < 7; ++i)
    bad +=
        fmt::format("---\n{{apiVersion: v1, kind: Pod, metadata: {{name: p{}}}, status: {{podIP: x}}}}\n", i);
  fs::path file = folder.write("bad.yaml", bad);
  fs::path paths[] = {folder.path()};
  Result<Loaded> loaded = load(paths);
  REQUIRE_FALSE(loaded);
  CHECK(loaded.error().code == Errc::invalid);
  CHECK_THAT(loaded.error().detail,
             Catch::Contains(file.string() + ":2: Pod default/p0: status.podIP: must be"));
  CHECK_THAT(loaded.error().detail, Catch::EndsWith("and 2 more errors"));
  CHECK(check(paths).size() == 7);
}

TEST_CASE("a path that is not there is an error that names it") {
  fs::path paths[] = {"/nonexistent/mesh.yaml"};
  Result<Loaded> loaded = load(paths);
  REQUIRE_FALSE(loaded);
  CHECK(loaded.error().code == Errc::io);
  CHECK_THAT(loaded.error().detail, Catch::Contains("/nonexistent/mesh.yaml"));
  CHECK(any_error(check(paths)));
}

TEST_CASE("an unchanged file is not read again, a changed one is") {
  Folder folder;
  folder.write("a.yaml", pod("demo", "a", "10.0.0.1", ""));
  fs::path b = folder.write("b.yaml", pod("demo", "b", "10.0.0.2", ""));
  fs::path paths[] = {folder.path()};
  FileCache cache;
  REQUIRE(load(paths, &cache));
  auto first = cache.entries;
  folder.write("b.yaml", pod("demo", "bb", "10.0.0.3", ""));
  Result<Loaded> again = load(paths, &cache);
  REQUIRE(again);
  CHECK(cache.entries.at((folder.path() / "a.yaml").string()) ==
        first.at((folder.path() / "a.yaml").string()));
  CHECK(cache.entries.at(b.string()) != first.at(b.string()));
  CHECK(again->mesh.workloads.at(1).name == "bb");
  fs::remove(b);
  REQUIRE(load(paths, &cache));
  CHECK(cache.entries.size() == 1);
}

TEST_CASE("an empty configuration is a mesh with nothing in it") {
  Mesh mesh = mesh_of("");
  CHECK(mesh.workloads.empty());
  CHECK(mesh.trust_domain == "cluster.local");
  CHECK(mesh.access_log_file == "/dev/stdout");
}

}  // namespace ambientd::config
