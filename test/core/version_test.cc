// SPDX-License-Identifier: Apache-2.0
#include "core/version.h"

#include <fmt/format.h>
#include <link.h>
#include <openssl/crypto.h>

#include <cstring>

#include "test/support/catch.h"

using namespace ambientd;

namespace {

// Shared libraries of this process whose file name begins with `name`.
size_t loaded(const char* name) {
  struct Search {
    const char* name;
    size_t count = 0;
  } search{name};
  auto look = [](dl_phdr_info* object, size_t, void* into) {
    auto& wanted = *static_cast<Search*>(into);
    const char* slash = std::strrchr(object->dlpi_name, '/');
    if (slash && std::string_view(slash + 1).starts_with(wanted.name)) ++wanted.count;
    return 0;
  };
  dl_iterate_phdr(look, &search);
  return search.count;
}

}  // namespace

TEST_CASE("the version names the OpenSSL that runs, which is of the headers' series") {
  CHECK(version().crypto.starts_with(fmt::format("openssl-{}.", OPENSSL_VERSION_MAJOR)));
  CHECK(version_line("1.2.3").find("CryptoProvider:\"" + version().crypto + "\"}") != std::string::npos);
}

TEST_CASE("a build with its own OpenSSL loads no other, and has the one it was compiled with") {
#ifdef AMBIENTD_PRIVATE_OPENSSL
  CHECK(loaded("libcrypto.so") == 0);
  CHECK(loaded("libssl.so") == 0);
  CHECK(OpenSSL_version_num() == OPENSSL_VERSION_NUMBER);
  CHECK(version().crypto.starts_with("openssl-" AMBIENTD_PRIVATE_OPENSSL "."));
#else
  CHECK(loaded("libcrypto.so") == 1);
#endif
}
