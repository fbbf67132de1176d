// SPDX-License-Identifier: Apache-2.0
#include "core/local_ca.h"

#include <fmt/format.h>
#include <openssl/asn1.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <mutex>
#include <utility>

#include "core/credential_files.h"

namespace ambientd {
namespace {

using std::chrono::seconds;

constexpr seconds kBackdate{120};                             // for peers whose clock is behind
constexpr seconds kRootLife = std::chrono::hours(24 * 3650);  // ten years
constexpr int kSerialBits = 127;                              // positive in 16 bytes

struct Free {
  void operator()(BIGNUM* number) const { BN_free(number); }
  void operator()(GENERAL_NAMES* names) const { GENERAL_NAMES_free(names); }
  void operator()(X509_EXTENSION* extension) const { X509_EXTENSION_free(extension); }
  void operator()(X509_STORE* store) const { X509_STORE_free(store); }
  void operator()(X509_STORE_CTX* context) const { X509_STORE_CTX_free(context); }
  void operator()(STACK_OF(X509) * certificates) const { sk_X509_free(certificates); }  // not what is in it
};

bool set_random_serial(X509* certificate) {
  std::unique_ptr<BIGNUM, Free> number(BN_new());
  return number && BN_rand(number.get(), kSerialBits, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 &&
         BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate));
}

bool set_validity(X509* certificate, TimePoint from, TimePoint until) {
  using std::chrono::system_clock;
  return ASN1_TIME_set(X509_getm_notBefore(certificate), system_clock::to_time_t(from)) &&
         ASN1_TIME_set(X509_getm_notAfter(certificate), system_clock::to_time_t(until));
}

// `value` is in OpenSSL's configuration syntax, so only constants go here.
bool add_extension(X509* certificate, X509* issuer, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  std::unique_ptr<X509_EXTENSION, Free> extension(X509V3_EXT_nconf_nid(nullptr, &context, nid, value));
  return extension && X509_add_ext(certificate, extension.get(), -1) == 1;
}

// Critical, as RFC 5280 §4.2.1.6 asks when there is no subject.
bool add_uri_san(X509* certificate, const std::string& uri) {
  std::unique_ptr<GENERAL_NAMES, Free> names(sk_GENERAL_NAME_new_null());
  GENERAL_NAME* name = GENERAL_NAME_new();
  if (!names || !name || sk_GENERAL_NAME_push(names.get(), name) == 0) {
    GENERAL_NAME_free(name);
    return false;
  }
  ASN1_IA5STRING* text = ASN1_IA5STRING_new();
  if (!text) return false;
  GENERAL_NAME_set0_value(name, GEN_URI, text);
  return ASN1_STRING_set(text, uri.data(), static_cast<int>(uri.size())) == 1 &&
         X509_add1_ext_i2d(certificate, NID_subject_alt_name, names.get(), 1, X509V3_ADD_DEFAULT) == 1;
}

bool add_leaf_extensions(X509* leaf, X509* issuer, const std::string& uri) {
  return add_extension(leaf, issuer, NID_basic_constraints, "critical,CA:FALSE") &&
         add_extension(leaf, issuer, NID_key_usage, "critical,digitalSignature") &&
         add_extension(leaf, issuer, NID_ext_key_usage, "serverAuth,clientAuth") &&
         add_extension(leaf, issuer, NID_authority_key_identifier, "keyid") && add_uri_san(leaf, uri);
}

bool add_root_extensions(X509* root) {
  return add_extension(root, root, NID_basic_constraints, "critical,CA:TRUE") &&
         add_extension(root, root, NID_key_usage, "critical,keyCertSign,cRLSign") &&
         add_extension(root, root, NID_subject_key_identifier, "hash");
}

bool set_common_name(X509* certificate, std::string_view name) {
  return X509_NAME_add_entry_by_NID(X509_get_subject_name(certificate), NID_commonName, MBSTRING_UTF8,
                                    reinterpret_cast<const unsigned char*>(name.data()),
                                    static_cast<int>(name.size()), -1, 0) == 1;
}

// What leaf and root have in common; not signed yet.
X509Ptr draft(EVP_PKEY* key, const X509_NAME* issuer, TimePoint from, TimePoint until) {
  X509Ptr out(X509_new());
  bool good = out && X509_set_version(out.get(), X509_VERSION_3) == 1 && set_random_serial(out.get()) &&
              set_validity(out.get(), from, until) && X509_set_pubkey(out.get(), key) == 1 &&
              (!issuer || X509_set_issuer_name(out.get(), issuer) == 1);
  return good ? std::move(out) : nullptr;
}

std::vector<X509Ptr> copy(const std::vector<X509Ptr>& from) {
  std::vector<X509Ptr> out;
  for (const X509Ptr& one : from) out.push_back(share(one.get()));
  return out;
}

// Whether peers that are given the intermediates can get from the issuer to a root. Dates do not matter here.
bool reaches_root(const LocalCa& ca) {
  std::unique_ptr<X509_STORE, Free> store(X509_STORE_new());
  std::unique_ptr<X509_STORE_CTX, Free> context(X509_STORE_CTX_new());
  std::unique_ptr<STACK_OF(X509), Free> others(sk_X509_new_null());
  if (!store || !context || !others) return false;
  for (const X509Ptr& root : ca.roots) X509_STORE_add_cert(store.get(), root.get());
  for (const X509Ptr& one : ca.intermediates) sk_X509_push(others.get(), one.get());
  X509_STORE_set_flags(store.get(), X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_NO_CHECK_TIME);
  bool good = X509_STORE_CTX_init(context.get(), store.get(), ca.issuer.get(), others.get()) == 1 &&
              X509_verify_cert(context.get()) == 1;
  ERR_clear_error();
  return good;
}

void sort_into(LocalCa& ca, std::vector<X509Ptr> certificates) {
  ca.issuer = share(certificates.front().get());
  for (X509Ptr& one : certificates) {
    bool root = is_self_signed(one.get());
    (root ? ca.roots : ca.intermediates).push_back(std::move(one));
  }
  if (!ca.roots.empty()) return;
  ca.roots.push_back(std::move(ca.intermediates.back()));
  ca.intermediates.pop_back();
}

// Checks what was parsed and puts it in its places.
Result<LocalCa> assemble(std::vector<X509Ptr> certificates, std::string_view certificates_source,
                         PrivateKeyPtr key, std::string_view key_source) {
  for (size_t i = 0; i < certificates.size(); i++)
    if (!is_ca(certificates[i].get()))
      return fail(Errc::invalid, fmt::format("{}: certificate {} is not a CA's (basicConstraints CA:TRUE)",
                                             certificates_source, i + 1));
  if (X509_check_private_key(certificates.front().get(), key.get()) != 1) {
    ERR_clear_error();
    return fail(Errc::invalid, fmt::format("{} is not the key of the first certificate in {}", key_source,
                                           certificates_source));
  }
  LocalCa ca;
  sort_into(ca, std::move(certificates));
  ca.key = std::move(key);
  if (!reaches_root(ca))
    return fail(Errc::invalid, fmt::format("{}: the first certificate does not lead to any root in the file",
                                           certificates_source));
  return ca;
}

Result<LocalCa> read_local_ca(const std::string& certificates_file, const std::string& key_file) {
  Result<std::vector<X509Ptr>> certificates = read_certificates(certificates_file);
  if (!certificates) return fail(certificates.error());
  Result<PrivateKeyPtr> key = read_private_key(key_file);
  if (!key) return fail(key.error());
  return assemble(std::move(*certificates), certificates_file, std::move(*key), key_file);
}

class LocalCaSigner final : public Signer {
 public:
  LocalCaSigner(std::string cert_file, std::string key_file, seconds ttl)
      : cert_file_(std::move(cert_file)),
        key_file_(std::move(key_file)),
        ttl_(ttl),
        stamps_({cert_file_, key_file_}) {}

  Status load() {
    Result<LocalCa> fresh = read_local_ca(cert_file_, key_file_);
    if (!fresh) return fail(fresh.error());
    std::lock_guard lock(mutex_);
    ca_ = std::make_shared<const LocalCa>(std::move(*fresh));
    return {};
  }

  void sign(const Identity& identity, Done done) override {
    done(now_in_use()->issue(identity, ttl_, std::chrono::system_clock::now()));
  }

  Result<bool> refresh() override {
    if (!changed()) return false;
    Status loaded = load();
    if (!loaded) return fail(loaded.error());
    return true;
  }

 private:
  bool changed() {
    std::lock_guard lock(mutex_);
    return stamps_.changed();
  }
  std::shared_ptr<const LocalCa> now_in_use() {
    std::lock_guard lock(mutex_);
    return ca_;
  }

  const std::string cert_file_, key_file_;
  const seconds ttl_;
  std::mutex mutex_;
  FileStamps stamps_;
  std::shared_ptr<const LocalCa> ca_;
};

}  // namespace

Result<Issued> LocalCa::issue(const Identity& identity, seconds ttl, TimePoint now) const {
  if (Identity::parse(identity.uri()) != identity)
    return fail(Errc::identity, "not a workload identity: " + identity.uri());
  TimePoint until = std::min(now + ttl, not_after(issuer.get()));
  if (until <= now)
    return fail(Errc::invalid, fmt::format("cannot sign for {}: the CA certificate with serial number {} has "
                                           "expired, or SECRET_TTL is zero",
                                           identity.uri(), serial_number(issuer.get())));
  ERR_clear_error();
  Issued out;
  Result<PrivateKeyPtr> fresh = make_p256_key();
  if (!fresh) return fail(fresh.error());
  TimePoint from = now - std::min(kBackdate, ttl / 10);
  X509Ptr leaf = draft(fresh->get(), X509_get_subject_name(issuer.get()), from, until);
  if (!leaf || !add_leaf_extensions(leaf.get(), issuer.get(), identity.uri()) ||
      X509_sign(leaf.get(), key.get(), EVP_sha256()) == 0)
    return fail(Errc::tls, fmt::format("signing for {}: {}", identity.uri(), tls_error()));
  out.key = std::move(*fresh);
  out.chain = copy(intermediates);
  out.chain.insert(out.chain.begin(), std::move(leaf));
  out.roots = copy(roots);
  return out;
}

Result<LocalCa> parse_local_ca(std::string_view certificates, std::string_view certificates_source,
                               std::string_view key, std::string_view key_source) {
  Result<std::vector<X509Ptr>> parsed = parse_certificates(certificates, certificates_source);
  if (!parsed) return fail(parsed.error());
  Result<PrivateKeyPtr> parsed_key = parse_private_key(key, key_source);
  if (!parsed_key) return fail(parsed_key.error());
  return assemble(std::move(*parsed), certificates_source, std::move(*parsed_key), key_source);
}

Result<LocalCa> make_root(std::string_view common_name, TimePoint now) {
  Result<PrivateKeyPtr> key = make_p256_key();
  if (!key) return fail(key.error());
  X509Ptr root = draft(key->get(), nullptr, now - kBackdate, now + kRootLife);
  if (!root || !set_common_name(root.get(), common_name) ||
      X509_set_issuer_name(root.get(), X509_get_subject_name(root.get())) != 1 ||
      !add_root_extensions(root.get()) || X509_sign(root.get(), key->get(), EVP_sha256()) == 0)
    return fail(Errc::tls, "making a root certificate: " + tls_error());
  LocalCa ca;
  ca.issuer = share(root.get());
  ca.roots.push_back(std::move(root));
  ca.key = std::move(*key);
  return ca;
}

Result<std::unique_ptr<Signer>> local_ca_signer(std::string ca_cert_file, std::string ca_key_file,
                                                seconds ttl) {
  auto signer = std::make_unique<LocalCaSigner>(std::move(ca_cert_file), std::move(ca_key_file), ttl);
  Status loaded = signer->load();
  if (!loaded) return fail(loaded.error());
  return signer;
}

}  // namespace ambientd
