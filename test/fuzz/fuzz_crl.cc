// SPDX-License-Identifier: Apache-2.0
// Any bytes as an operator's revocation lists. What is taken can be asked, gives the same answer twice, and
// never revokes without a signature of the issuer.
#include <openssl/err.h>
#include <openssl/x509.h>

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "core/certificate.h"
#include "core/revocation.h"
#include "test/support/fuzz_chain.h"

using namespace ambientd;

namespace {

STACK_OF(X509) * known_chain() {
  STACK_OF(X509)* chain = sk_X509_new_null();
  for (const char* pem : {test::kFuzzLeaf, test::kFuzzRoot})
    sk_X509_push(chain, (*parse_certificates(pem, "seed")).front().release());
  return chain;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static STACK_OF(X509)* const chain = known_chain();
  std::string_view text(reinterpret_cast<const char*>(data), size);
  Result<RevocationListsPtr> lists = RevocationLists::parse(text, "fuzz");
  if (ERR_peek_error() != 0) std::abort();
  if (!lists) {
    if (lists.error().code != Errc::invalid || lists.error().detail.empty()) std::abort();
    return 0;
  }
  Status first = (*lists)->check(chain), second = (*lists)->check(chain);
  if (first.has_value() != second.has_value()) std::abort();
  if (!first && first.error().code != Errc::revoked && first.error().code != Errc::tls) std::abort();
  if (!first && (*lists)->size() == 0) std::abort();
  if (!first && first.error().code == Errc::revoked && (*lists)->revoked() == 0) std::abort();
  if (ERR_peek_error() != 0) std::abort();
  return 0;
}
