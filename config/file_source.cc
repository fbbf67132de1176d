// SPDX-License-Identifier: Apache-2.0
#include "config/file_source.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <uv.h>

#include <optional>
#include <set>
#include <tuple>

#include "core/loop.h"

namespace ambientd::config {
namespace {

constexpr uint64_t kSettleMs = 50;  // editors and kubelet make several changes in a row

// What the files of `paths` look like; the reason when they cannot be listed.
using Stamps = std::vector<std::tuple<std::string, uint64_t, uint64_t, int64_t>>;
Result<Stamps> look(const std::vector<std::filesystem::path>& paths) {
  Result<std::vector<std::filesystem::path>> files = list_files(paths);
  if (!files) return fail(std::move(files.error()));
  Stamps stamps;
  for (const std::filesystem::path& file : *files) {
    struct stat s{};
    if (stat(file.c_str(), &s) != 0) s = {};
    int64_t modified = s.st_mtim.tv_sec * 1'000'000'000 + s.st_mtim.tv_nsec;
    stamps.emplace_back(file.string(), s.st_ino, static_cast<uint64_t>(s.st_size), modified);
  }
  return stamps;
}

std::set<std::filesystem::path> directories(const std::vector<std::filesystem::path>& paths) {
  std::set<std::filesystem::path> out;
  for (const std::filesystem::path& path : paths) {
    std::error_code ignored;
    bool whole = std::filesystem::is_directory(path, ignored);
    std::filesystem::path parent = path.parent_path();
    out.insert(whole ? path : parent.empty() ? std::filesystem::path(".") : parent);
  }
  return out;
}

}  // namespace

struct FileSource::State : std::enable_shared_from_this<State> {
  State(std::vector<std::filesystem::path> p, Events e)
      : paths(std::move(p)), events(std::move(e)), settled([this] { start_load(); }) {}

  void watch(const std::filesystem::path& directory);
  void changed() { Loop::current().set_timer(settled, kSettleMs); }
  void start_load();

  using Outcome = std::optional<Result<Loaded>>;  // nothing: the files are what they were
  struct Load {
    std::shared_ptr<State> state;
    Outcome outcome;
  };
  Outcome load_if_changed();
  void finish_load(Outcome outcome);

  std::vector<std::filesystem::path> paths;
  Events events;
  Timer settled;
  std::vector<uv_fs_event_t*> watches;
  FileCache cache;               // both are used by the load in flight only
  std::optional<Stamps> stamps;  // of the last load that could list its files
  bool loading = false, again = false, ended = false;
};

void FileSource::State::watch(const std::filesystem::path& directory) {
  auto* handle = new uv_fs_event_t;
  uv_fs_event_init(Loop::current().uv(), handle);
  handle->data = this;
  watches.push_back(handle);
  int failed = uv_fs_event_start(
      handle, [](uv_fs_event_t* h, const char*, int, int) { static_cast<State*>(h->data)->changed(); },
      directory.c_str(), 0);
  // A path that is not there at all is the load's error to tell.
  if (failed && failed != UV_ENOENT) {
    events.failed({Errc::io, fmt::format("watch {}: {}: changes there will not be noticed",
                                         directory.string(), uv_strerror(failed))});
  }
}

void FileSource::State::start_load() {
  if (loading) {
    again = true;
    return;
  }
  loading = true;
  auto* work = new uv_work_t;
  work->data = new Load{shared_from_this(), {}};
  uv_queue_work(
      Loop::current().uv(), work,
      [](uv_work_t* w) {
        auto* mine = static_cast<Load*>(w->data);
        mine->outcome = mine->state->load_if_changed();
      },
      [](uv_work_t* w, int) {
        std::unique_ptr<uv_work_t> owned(w);
        std::unique_ptr<Load> mine(static_cast<Load*>(w->data));
        mine->state->finish_load(std::move(mine->outcome));
      });
}

// A directory tells of more than our files, and of one write more than once.
FileSource::State::Outcome FileSource::State::load_if_changed() {
  Result<Stamps> now = look(paths);
  if (now && stamps && *now == *stamps) return {};
  stamps = now ? std::optional(std::move(*now)) : std::nullopt;
  return load(paths, &cache);
}

void FileSource::State::finish_load(Outcome outcome) {
  loading = false;
  if (ended) return;
  if (outcome && *outcome) {
    events.loaded(std::move(**outcome));
  } else if (outcome) {
    events.failed(outcome->error());
  }
  if (std::exchange(again, false)) start_load();
}

FileSource::FileSource(std::vector<std::filesystem::path> paths, Events events)
    : state_(std::make_shared<State>(std::move(paths), std::move(events))) {
  for (const std::filesystem::path& directory : directories(state_->paths)) state_->watch(directory);
  state_->start_load();
}

FileSource::~FileSource() {
  state_->ended = true;
  state_->settled.cancel();
  for (uv_fs_event_t* watch : state_->watches) {
    uv_close(reinterpret_cast<uv_handle_t*>(watch),
             [](uv_handle_t* closed) { delete reinterpret_cast<uv_fs_event_t*>(closed); });
  }
}

}  // namespace ambientd::config
