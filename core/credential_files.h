// SPDX-License-Identifier: Apache-2.0
// Files that credentials come from: read whole and bounded, and noticed when they change.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/certificate.h"
#include "core/result.h"

namespace ambientd {

// The whole file, at most `most` bytes. Errc::io, naming it.
Result<std::string> read_file(const std::string& path, size_t most = 1 << 20);

Result<std::vector<X509Ptr>> read_certificates(const std::string& path);
Result<PrivateKeyPtr> read_private_key(const std::string& path);  // the text is wiped after parsing

// Remembers what some files looked like (device, inode, size, time of change, through symbolic links, so an
// atomic swap is seen).
class FileStamps {
 public:
  explicit FileStamps(std::vector<std::string> paths);
  // Whether any differs from the last time this was asked (or from construction). Ask before reading, so that
  // a write during the read is seen the next time.
  bool changed();

 private:
  struct Stamp {
    uint64_t device = 0, inode = 0, size = 0;
    int64_t modified = 0;  // ns; 0: not there
    bool operator==(const Stamp&) const = default;
  };
  std::vector<Stamp> look() const;

  std::vector<std::string> paths_;
  std::vector<Stamp> stamps_;
};

}  // namespace ambientd
