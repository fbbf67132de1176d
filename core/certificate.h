// SPDX-License-Identifier: Apache-2.0
// X.509 certificates and private keys as owned handles, read from PEM, and the one question the mesh asks of
// a certificate: whose is it? A name is taken with its ASN.1 length, never as a C string (contract/threats.md
// §5.2). No function here puts key material into an error.
#pragma once

#include <openssl/types.h>

#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "core/spiffe.h"

namespace ambientd {

using TimePoint = std::chrono::system_clock::time_point;

struct OpensslFree {  // the key's memory is wiped by OpenSSL
  void operator()(X509* certificate) const;
  void operator()(EVP_PKEY* key) const;
  void operator()(SSL_CTX* context) const;
  void operator()(SSL* connection) const;
};
using X509Ptr = std::unique_ptr<X509, OpensslFree>;
using PrivateKeyPtr = std::unique_ptr<EVP_PKEY, OpensslFree>;
using SslContextPtr = std::unique_ptr<SSL_CTX, OpensslFree>;
using SslPtr = std::unique_ptr<SSL, OpensslFree>;

X509Ptr share(X509* certificate);    // one more reference to the same certificate
PrivateKeyPtr share(EVP_PKEY* key);  // one more reference to the same key

// Every CERTIFICATE block of `pem`, in order; other blocks are skipped. `source` names the text in errors (a
// file). Errc::invalid when there is no certificate, a block does not parse, or there are more than 100.
Result<std::vector<X509Ptr>> parse_certificates(std::string_view pem, std::string_view source);

// The first private key of `pem` (PKCS#8, SEC1 or PKCS#1; RSA of 2048 bits or more, or EC), never asking for
// a passphrase. Errc::invalid.
Result<PrivateKeyPtr> parse_private_key(std::string_view pem, std::string_view source);

// A fresh P-256 key. Errc::tls when the random generator fails.
Result<PrivateKeyPtr> make_p256_key();

std::string to_pem(X509* certificate);
// PKCS#8, unencrypted: for the one file that holds a demo CA's key. Empty when it cannot be written.
std::string to_pem(EVP_PKEY* key);

// The same certificate for people and dumps: plain text, no handle.
struct CertificateText {
  std::string pem;     // one block, 64-column lines
  std::string serial;  // decimal
  TimePoint not_before, not_after;
  bool operator==(const CertificateText&) const = default;
};
CertificateText describe(X509* certificate);

TimePoint not_before(X509* certificate);
TimePoint not_after(X509* certificate);
std::string serial_number(X509* certificate);  // decimal
std::string fingerprint(X509* certificate);    // SHA-256 over DER, lower-case hex
bool is_ca(X509* certificate);                 // may sign certificates, by its extensions
bool is_self_signed(X509* certificate);        // issuer and subject are one name

// Who an X.509-SVID leaf belongs to: exactly one URI SAN, and that one a workload identity; other kinds of
// SAN are ignored. Errc::identity otherwise.
Result<Identity> peer_identity(X509* certificate);

// Empties the thread's OpenSSL error queue into one line, oldest first; `no detail` when it was empty.
std::string tls_error();

}  // namespace ambientd
