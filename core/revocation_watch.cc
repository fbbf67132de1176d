// SPDX-License-Identifier: Apache-2.0
#include "core/revocation_watch.h"

#include "core/log.h"

namespace ambientd {
namespace {

constexpr uint64_t kEveryMs = 1000;

}  // namespace

Result<std::unique_ptr<RevocationWatch>> RevocationWatch::open(const std::string& path) {
  std::unique_ptr<RevocationFile> file;
  if (!path.empty()) {
    Result<std::unique_ptr<RevocationFile>> opened = RevocationFile::open(path);
    if (!opened) return fail(std::move(opened.error()));
    file = std::move(*opened);
  }
  return std::unique_ptr<RevocationWatch>(new RevocationWatch(path, std::move(file)));
}

RevocationWatch::RevocationWatch(std::string path, std::unique_ptr<RevocationFile> file)
    : path_(std::move(path)), file_(std::move(file)), look_([this] { look(); }) {}

void RevocationWatch::start(std::function<void()> changed) {
  changed_ = std::move(changed);
  if (!file_) return;
  say("revocation lists loaded");
  look();
}

void RevocationWatch::look() {
  Result<bool> changed = file_->refresh();
  if (!changed) log::error("identity", changed.error().detail);
  if (changed && *changed) {
    say("revocation lists reloaded");
    changed_();
  }
  Loop::current().set_timer(look_, kEveryMs);
}

void RevocationWatch::say(std::string_view what) const {
  RevocationListsPtr now = file_->lists()->current();
  log::info("identity", what, {{"path", path_}, {"lists", now->size()}, {"revoked", now->revoked()}});
}

}  // namespace ambientd
