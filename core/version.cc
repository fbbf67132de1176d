// SPDX-License-Identifier: Apache-2.0
#include "core/version.h"

#include <fmt/format.h>
#include <openssl/crypto.h>

#ifndef AMBIENTD_REVISION  // the Makefile says
#define AMBIENTD_REVISION "unknown"
#endif

namespace ambientd {

Version version() {
  return {.number = "0.1.0",
          .revision = AMBIENTD_REVISION,
          .crypto = fmt::format("openssl-{}", OpenSSL_version(OPENSSL_FULL_VERSION_STRING))};
}

std::string version_line(std::string_view istio_version) {
  bool dirty = version().revision.ends_with("-dirty");
  return fmt::format(
      "version.BuildInfo{{Version:\"{}\", GitRevision:\"{}\", RustVersion:\"none\", "
      "BuildProfile:\"release\", "
      "BuildStatus:\"{}\", IstioVersion:\"{}\", CryptoProvider:\"{}\"}}",
      version().number, version().revision, dirty ? "Modified" : "Clean", istio_version, version().crypto);
}

}  // namespace ambientd
