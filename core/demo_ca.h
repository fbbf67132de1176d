// SPDX-License-Identifier: Apache-2.0
// The demo CA: a root that the processes of one box make once and share through a directory, so that a mesh
// works before anybody has made a CA. Whoever can read the directory can be any workload.
#pragma once

#include <string>

#include "core/certificate.h"
#include "core/result.h"

namespace ambientd {

struct DemoCa {
  std::string cert_file, key_file;  // for local_ca_signer()
  bool made = false;                // by this call
  std::string notice;               // what to tell the operator, one sentence
};

// Finds the demo CA in `dir` or makes it: under a file lock, so once however many processes ask, and anew
// when it has expired at `now`. Directories are made 0700, files 0600. Errc::io when the directory cannot be
// used, Errc::invalid when other users can get into it or what is there does not parse.
Result<DemoCa> demo_ca(const std::string& dir, TimePoint now);

}  // namespace ambientd
