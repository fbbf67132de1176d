// SPDX-License-Identifier: Apache-2.0
// Keeps the revocation lists of a file up to date while a proxy runs: looks once a second, says what it
// found. On one loop.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "core/loop.h"
#include "core/revocation.h"

namespace ambientd {

class RevocationWatch {
 public:
  // An empty path: nothing is checked. Errors: io, invalid.
  static Result<std::unique_ptr<RevocationWatch>> open(const std::string& path);

  std::shared_ptr<const Revocations> lists() const { return file_ ? file_->lists() : nullptr; }
  void start(std::function<void()> changed);  // called whenever other lists are in force
  void stop() { look_.cancel(); }

 private:
  RevocationWatch(std::string path, std::unique_ptr<RevocationFile> file);
  void look();
  void say(std::string_view what) const;

  std::string path_;
  std::unique_ptr<RevocationFile> file_;  // null: none are checked
  std::function<void()> changed_;
  Timer look_;
};

}  // namespace ambientd
