// SPDX-License-Identifier: Apache-2.0
// Any bytes as a peer's certificate (DER) and as an operator's file (PEM). An identity that comes out must
// stand in the certificate byte for byte.
#include <openssl/err.h>
#include <openssl/x509.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "core/certificate.h"

using namespace ambientd;

namespace {

void look(X509* certificate) {
  CertificateText text = describe(certificate);
  if (text.pem.find('\0') != std::string::npos) std::abort();
  fingerprint(certificate);
  is_ca(certificate);
  is_self_signed(certificate);
}

void as_der(std::string_view bytes) {
  const auto* at = reinterpret_cast<const unsigned char*>(bytes.data());
  X509Ptr certificate(d2i_X509(nullptr, &at, static_cast<long>(bytes.size())));
  ERR_clear_error();
  if (!certificate) return;
  look(certificate.get());
  Result<Identity> peer = peer_identity(certificate.get());
  if (!peer && peer.error().code != Errc::identity) std::abort();
  if (peer && bytes.find(peer->uri()) == bytes.npos) std::abort();
}

void as_pem(std::string_view text) {
  Result<std::vector<X509Ptr>> certificates = parse_certificates(text, "fuzz");
  if (certificates && certificates->empty()) std::abort();
  if (certificates) look(certificates->front().get());
  Result<PrivateKeyPtr> key = parse_private_key(text, "fuzz");
  if (key && !*key) std::abort();
  if (ERR_peek_error() != 0 && !certificates && !key) std::abort();
  ERR_clear_error();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  as_der(bytes);
  as_pem(bytes);
  return 0;
}
