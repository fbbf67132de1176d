// SPDX-License-Identifier: Apache-2.0
#include "config/file_source.h"

#include <fmt/format.h>
#include <uv.h>

#include <set>

#include "core/loop.h"

namespace ambientd::config {
namespace {

constexpr uint64_t kSettleMs = 50;  // editors and kubelet make several changes in a row

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
  void finish_load(Result<Loaded> result);

  struct Load {
    std::shared_ptr<State> state;
    Result<Loaded> result;
  };

  std::vector<std::filesystem::path> paths;
  Events events;
  Timer settled;
  std::vector<uv_fs_event_t*> watches;
  FileCache cache;  // used by the load in flight only
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
  if (failed) {
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
  work->data = new Load{shared_from_this(), Loaded{}};
  uv_queue_work(
      Loop::current().uv(), work,
      [](uv_work_t* w) {
        auto* mine = static_cast<Load*>(w->data);
        mine->result = load(mine->state->paths, &mine->state->cache);
      },
      [](uv_work_t* w, int) {
        std::unique_ptr<uv_work_t> owned(w);
        std::unique_ptr<Load> mine(static_cast<Load*>(w->data));
        mine->state->finish_load(std::move(mine->result));
      });
}

void FileSource::State::finish_load(Result<Loaded> result) {
  loading = false;
  if (ended) return;
  if (result) {
    events.loaded(std::move(*result));
  } else {
    events.failed(result.error());
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
