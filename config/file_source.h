// SPDX-License-Identifier: Apache-2.0
// Files as a source of configuration: loaded at start, watched, loaded again as a whole when anything
// changes. A bad edit changes nothing: the last good mesh stays and one error says what is wrong and where.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <vector>

#include "config/loader.h"

namespace ambientd::config {

class FileSource {
 public:
  struct Events {
    std::function<void(Loaded)> loaded;        // on the loop that made the source
    std::function<void(const Error&)> failed;  // the same
  };

  // Watches the directories `paths` are in (or are). Reads on a pool thread; call on a loop's thread.
  FileSource(std::vector<std::filesystem::path> paths, Events events);
  ~FileSource();
  FileSource(const FileSource&) = delete;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace ambientd::config
