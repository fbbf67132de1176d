// SPDX-License-Identifier: Apache-2.0
#include "core/certificate.h"

#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <ctime>
#include <optional>

#include "core/text.h"

namespace ambientd {
namespace {

constexpr size_t kMaxPem = 1 << 20;  // bytes
constexpr size_t kMaxCertificates = 100;
constexpr int kMinSecurityBits = 112;  // RSA 2048, as OpenSSL's security level 2

struct Free {
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(BIGNUM* number) const { BN_free(number); }
  void operator()(GENERAL_NAMES* names) const { GENERAL_NAMES_free(names); }
  void operator()(char* text) const { OPENSSL_free(text); }
};
using BioPtr = std::unique_ptr<BIO, Free>;

BioPtr reader(std::string_view text) {
  return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

std::string written(BIO* bio) {
  char* data = nullptr;
  long size = BIO_get_mem_data(bio, &data);
  return size > 0 ? std::string(data, static_cast<size_t>(size)) : std::string();
}

// OpenSSL's own default would ask at the terminal.
int no_passphrase(char*, int, int, void*) { return -1; }

bool no_more_blocks() {
  unsigned long last = ERR_peek_last_error();
  return ERR_GET_LIB(last) == ERR_LIB_PEM && ERR_GET_REASON(last) == PEM_R_NO_START_LINE;
}

// ASN.1 times reach year 9999, the clock's nanoseconds end in 2262: later is as good as the end.
TimePoint from_asn1(const ASN1_TIME* time) {
  static constexpr time_t kLast = TimePoint::max().time_since_epoch() / std::chrono::seconds(1) - 1;
  std::tm parts{};
  if (!time || ASN1_TIME_to_tm(time, &parts) != 1) return {};
  return std::chrono::system_clock::from_time_t(std::clamp<time_t>(timegm(&parts), -kLast, kLast));
}

std::string_view bytes_of(const ASN1_STRING* text) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
          static_cast<size_t>(ASN1_STRING_length(text))};
}

}  // namespace

void OpensslFree::operator()(X509* certificate) const { X509_free(certificate); }
void OpensslFree::operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
void OpensslFree::operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
void OpensslFree::operator()(SSL* connection) const { SSL_free(connection); }

X509Ptr share(X509* certificate) {
  X509_up_ref(certificate);
  return X509Ptr(certificate);
}

PrivateKeyPtr share(EVP_PKEY* key) {
  EVP_PKEY_up_ref(key);
  return PrivateKeyPtr(key);
}

Result<std::vector<X509Ptr>> parse_certificates(std::string_view pem, std::string_view source) {
  if (pem.size() > kMaxPem) return fail(Errc::invalid, fmt::format("{}: larger than 1 MiB", source));
  ERR_clear_error();
  BioPtr bio = reader(pem);
  std::vector<X509Ptr> out;
  while (X509Ptr next{PEM_read_bio_X509(bio.get(), nullptr, no_passphrase, nullptr)}) {
    if (out.size() == kMaxCertificates)
      return fail(Errc::invalid, fmt::format("{}: more than {} certificates", source, kMaxCertificates));
    out.push_back(std::move(next));
  }
  bool at_end = no_more_blocks();
  std::string detail = tls_error();
  if (!at_end)
    return fail(Errc::invalid,
                fmt::format("{}: certificate {} does not parse: {}", source, out.size() + 1, detail));
  if (out.empty())
    return fail(Errc::invalid,
                fmt::format("{}: no certificate in it (PEM with BEGIN CERTIFICATE is expected)", source));
  return out;
}

Result<PrivateKeyPtr> parse_private_key(std::string_view pem, std::string_view source) {
  if (pem.size() > kMaxPem) return fail(Errc::invalid, fmt::format("{}: larger than 1 MiB", source));
  ERR_clear_error();
  BioPtr bio = reader(pem);
  PrivateKeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr));
  if (!key) {
    ERR_clear_error();
    return fail(Errc::invalid,
                fmt::format("{}: no private key in it (PEM without a passphrase is expected)", source));
  }
  int kind = EVP_PKEY_get_base_id(key.get());
  if (kind != EVP_PKEY_RSA && kind != EVP_PKEY_EC)
    return fail(Errc::invalid, fmt::format("{}: the private key is neither RSA nor EC", source));
  if (EVP_PKEY_get_security_bits(key.get()) < kMinSecurityBits)
    return fail(Errc::invalid, fmt::format("{}: a private key of {} bits is too short", source,
                                           EVP_PKEY_get_bits(key.get())));
  return key;
}

Result<PrivateKeyPtr> make_p256_key() {
  PrivateKeyPtr key(EVP_EC_gen("P-256"));
  if (!key) return fail(Errc::tls, "making a P-256 key: " + tls_error());
  return key;
}

std::string to_pem(X509* certificate) {
  BioPtr bio(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509(bio.get(), certificate) != 1) return {};
  return written(bio.get());
}

std::string to_pem(EVP_PKEY* key) {
  BioPtr bio(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1) return {};
  return written(bio.get());
}

CertificateText describe(X509* certificate) {
  return {to_pem(certificate), serial_number(certificate), not_before(certificate), not_after(certificate)};
}

TimePoint not_before(X509* certificate) { return from_asn1(X509_get0_notBefore(certificate)); }

TimePoint not_after(X509* certificate) { return from_asn1(X509_get0_notAfter(certificate)); }

std::string serial_number(X509* certificate) {
  std::unique_ptr<BIGNUM, Free> number(ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nullptr));
  std::unique_ptr<char, Free> text(number ? BN_bn2dec(number.get()) : nullptr);
  return text ? text.get() : "";
}

std::string fingerprint(X509* certificate) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (X509_digest(certificate, EVP_sha256(), digest, &size) != 1) return {};
  return hex({reinterpret_cast<const char*>(digest), size});
}

bool is_ca(X509* certificate) { return X509_check_ca(certificate) > 0; }

bool is_self_signed(X509* certificate) { return X509_self_signed(certificate, 0) == 1; }

Result<Identity> peer_identity(X509* certificate) {
  int state = 0;  // -1: no such extension; -2: more than one
  std::unique_ptr<GENERAL_NAMES, Free> names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, &state, nullptr)));
  if (!names && state != -1) {
    ERR_clear_error();
    return fail(Errc::identity, "the certificate's subject alternative names do not parse");
  }
  std::optional<std::string_view> uri;
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); i++) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_URI) continue;
    if (uri) return fail(Errc::identity, "the certificate has more than one URI SAN");
    uri = bytes_of(name->d.uniformResourceIdentifier);
  }
  if (!uri) return fail(Errc::identity, "the certificate has no URI SAN, so no SPIFFE identity");
  std::optional<Identity> identity = Identity::parse(*uri);
  if (!identity)
    return fail(Errc::identity,
                fmt::format("the certificate's URI SAN {} is not spiffe://<trust domain>/ns/<ns>/sa/<sa>",
                            quoted(uri->substr(0, 256))));
  return *identity;
}

std::string tls_error() {
  std::string out;
  const char* data = nullptr;
  int flags = 0;
  while (unsigned long code = ERR_get_error_all(nullptr, nullptr, nullptr, &data, &flags)) {
    const char* reason = ERR_reason_error_string(code);
    if (!out.empty()) out += "; ";
    out += reason ? reason : fmt::format("OpenSSL error {:x}", code);
    if ((flags & ERR_TXT_STRING) && data && *data) out += fmt::format(" ({})", data);
  }
  if (out.size() > 512) out.resize(512);
  return out.empty() ? "no detail" : out;
}

}  // namespace ambientd
