// SPDX-License-Identifier: Apache-2.0
// Certificates from files (--cert, --key, --root) for the one identity that the leaf names. The files are
// re-read when they change; a set that does not fit together leaves the former one in use.
#pragma once

#include <memory>
#include <string>

#include "core/identity.h"

namespace ambientd {

struct CertificateFiles {
  std::string cert;  // leaf first, then intermediates
  std::string key;
  std::string root;  // one or more trust anchors
};

// Errc::io or Errc::invalid, naming the file, when they cannot be used. Its sign() fails with Errc::identity
// for any identity but the leaf's.
Result<std::unique_ptr<Signer>> file_signer(CertificateFiles files);

}  // namespace ambientd
