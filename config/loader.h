// SPDX-License-Identifier: Apache-2.0
// Configuration files to a Mesh, whole or not at all: any error anywhere leaves the caller with the Mesh it
// had. Kubernetes objects and ztunnel's local YAML may be mixed freely; which a document is shows from its
// content.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "config/problem.h"
#include "config/snapshot.h"
#include "core/result.h"

namespace ambientd::config {

struct Loaded {
  Mesh mesh;
  Problems problems;  // warnings
};

// What was read from each file, kept from one load to the next so that unchanged files (same device, inode,
// size and time) are not parsed again. One thread at a time.
class FileCache {
 public:
  FileCache();
  ~FileCache();
  FileCache(FileCache&&) noexcept;
  FileCache& operator=(FileCache&&) noexcept;

  struct Entry;
  std::map<std::string, std::shared_ptr<const Entry>> entries;  // by path
};

// The files to read for `paths`: a file stands for itself, a directory for its *.yaml, *.yml and *.json,
// sorted, without those whose name begins with a dot. Errc::io when a path cannot be read.
Result<std::vector<std::filesystem::path>> list_files(std::span<const std::filesystem::path> paths);

// Errc::io: a path cannot be read. Errc::invalid: some object is wrong; the detail has a line for each of the
// first errors (`FILE:LINE: kind ns/name: path: what`). `cache` may be null.
Result<Loaded> load(std::span<const std::filesystem::path> paths, FileCache* cache = nullptr);

// All problems, errors and warnings, in the order of files and lines: what --check prints.
Problems check(std::span<const std::filesystem::path> paths);

// The same for text that stands in no file; `name` is what problems call it.
Result<Loaded> load_text(std::string_view text, std::string_view name = "text");
Problems check_text(std::string_view text, std::string_view name = "text");

}  // namespace ambientd::config
