// SPDX-License-Identifier: Apache-2.0
// The certificates a peer shows, one DER after the other, leaf first, verified as a handshake does it. A
// chain that is believed ends at our root, and whoever it is for, a revoked certificate in it is seen.
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "core/identity.h"
#include "core/local_ca.h"
#include "test/support/fuzz_chain.h"

using namespace ambientd;

namespace {

constexpr size_t kMost = 20;  // certificates

// A server's context that believes the seeds' root.
WorkloadCertificatePtr make_server() {
  Identity self{"cluster.local", "default", "echo"};
  TimePoint now = std::chrono::system_clock::now();
  Issued issued = *make_root("own", now)->issue(self, std::chrono::hours(1), now);
  issued.roots = *parse_certificates(test::kFuzzRoot, "seed");
  return *make_workload_certificate(self, issued);
}

std::vector<X509Ptr> parse(const uint8_t* data, size_t size) {
  std::vector<X509Ptr> out;
  const uint8_t* end = data + size;
  while (data < end && out.size() < kMost) {
    X509Ptr next(d2i_X509(nullptr, &data, end - data));
    if (!next) break;
    out.push_back(std::move(next));
  }
  ERR_clear_error();
  return out;
}

void believed(X509_STORE_CTX* store) {
  static const RevocationListsPtr lists = *RevocationLists::parse(test::kFuzzRevocations, "seed");
  static const X509Ptr root = std::move((*parse_certificates(test::kFuzzRoot, "seed")).front());
  static const std::string bad = serial_number((*parse_certificates(test::kFuzzLeaf, "seed")).front().get());
  STACK_OF(X509)* chain = X509_STORE_CTX_get0_chain(store);
  int count = sk_X509_num(chain);
  if (count < 1 || X509_cmp(sk_X509_value(chain, count - 1), root.get()) != 0) std::abort();
  bool revoked = !lists->check(chain);
  if (serial_number(sk_X509_value(chain, 0)) == bad && count > 1 && !revoked) std::abort();
  Result<Identity> peer = peer_identity(sk_X509_value(chain, 0));
  if (peer && Identity::parse(peer->uri()) != *peer) std::abort();
  if (!peer && peer.error().code != Errc::identity) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const WorkloadCertificatePtr server = make_server();
  std::vector<X509Ptr> shown = parse(data, size);
  if (shown.empty()) return 0;
  STACK_OF(X509)* rest = sk_X509_new_null();
  for (const X509Ptr& each : shown) sk_X509_push(rest, each.get());
  X509_STORE_CTX* store = X509_STORE_CTX_new();
  if (X509_STORE_CTX_init(store, SSL_CTX_get_cert_store(server->server.get()), shown[0].get(), rest) != 1)
    std::abort();
  X509_STORE_CTX_set_default(store, "ssl_client");
  X509_STORE_CTX_set_time(store, 0, 1830000000);  // 2027: within the seeds' lives, whenever this runs
  if (X509_verify_cert(store) == 1) believed(store);
  X509_STORE_CTX_free(store);
  sk_X509_free(rest);
  ERR_clear_error();
  return 0;
}
