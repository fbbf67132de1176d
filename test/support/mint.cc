// SPDX-License-Identifier: Apache-2.0
#include "test/support/mint.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "test/support/catch.h"

namespace ambientd::test {
namespace {

void add(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_nconf_nid(nullptr, &context, nid, value.c_str());
  REQUIRE(extension);
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

void push_name(GENERAL_NAMES* names, int type, const std::string& text) {
  GENERAL_NAME* name = GENERAL_NAME_new();
  ASN1_IA5STRING* bytes = ASN1_IA5STRING_new();
  ASN1_STRING_set(bytes, text.data(), static_cast<int>(text.size()));
  GENERAL_NAME_set0_value(name, type, bytes);
  sk_GENERAL_NAME_push(names, name);
}

void add_names(X509* certificate, const CertificateSpec& spec) {
  if (spec.uris.empty() && spec.dns.empty()) return;
  GENERAL_NAMES* names = sk_GENERAL_NAME_new_null();
  for (const std::string& dns : spec.dns) push_name(names, GEN_DNS, dns);
  for (const std::string& uri : spec.uris) push_name(names, GEN_URI, uri);
  X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, 1, 0);
  GENERAL_NAMES_free(names);
}

}  // namespace

X509Ptr mint(const CertificateSpec& spec, EVP_PKEY* key, X509* issuer, EVP_PKEY* issuer_key) {
  static long serial = 1000;
  X509Ptr out(X509_new());
  X509* x = out.get();
  X509_set_version(x, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial);
  X509_gmtime_adj(X509_getm_notBefore(x), spec.from.count());
  X509_gmtime_adj(X509_getm_notAfter(x), spec.until.count());
  X509_set_pubkey(x, key);
  if (!spec.common_name.empty())
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(spec.common_name.c_str()), -1, -1, 0);
  X509_set_issuer_name(x, X509_get_subject_name(issuer ? issuer : x));
  add(x, issuer ? issuer : x, NID_basic_constraints, spec.ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
  if (spec.ca) add(x, x, NID_subject_key_identifier, "hash");
  if (!spec.eku.empty()) add(x, issuer ? issuer : x, NID_ext_key_usage, spec.eku);
  add_names(x, spec);
  REQUIRE(X509_sign(x, issuer_key, EVP_sha256()) > 0);
  return out;
}

Issued mint_leaf(const LocalCa& ca, const CertificateSpec& spec) {
  Issued out;
  out.key = *make_p256_key();
  out.chain.push_back(mint(spec, out.key.get(), ca.issuer.get(), ca.key.get()));
  for (const X509Ptr& one : ca.intermediates) out.chain.push_back(share(one.get()));
  for (const X509Ptr& one : ca.roots) out.roots.push_back(share(one.get()));
  return out;
}

LocalCa mint_ca(std::string common_name, PrivateKeyPtr key) {
  LocalCa ca;
  ca.key = std::move(key);
  ca.issuer = mint({.uris = {}, .dns = {}, .common_name = std::move(common_name), .eku = "", .ca = true},
                   ca.key.get(), nullptr, ca.key.get());
  ca.roots.push_back(share(ca.issuer.get()));
  return ca;
}

std::string mint_crl(const LocalCa& ca, const CrlSpec& spec) {
  X509_CRL* list = X509_CRL_new();
  X509_CRL_set_version(list, 1);  // v2
  X509_CRL_set_issuer_name(list, X509_get_subject_name(ca.issuer.get()));
  ASN1_TIME* time = ASN1_TIME_new();
  X509_CRL_set1_lastUpdate(list, X509_gmtime_adj(time, std::min<long>(-60, spec.until.count() - 60)));
  X509_CRL_set1_nextUpdate(list, X509_gmtime_adj(time, spec.until.count()));
  for (const X509* each : spec.revoked) {
    X509_REVOKED* entry = X509_REVOKED_new();
    X509_REVOKED_set_serialNumber(entry, const_cast<ASN1_INTEGER*>(X509_get0_serialNumber(each)));
    X509_REVOKED_set_revocationDate(entry, X509_gmtime_adj(time, -60));
    X509_CRL_add0_revoked(list, entry);
  }
  X509V3_CTX context;
  X509V3_set_ctx(&context, ca.issuer.get(), nullptr, nullptr, list, 0);
  for (const auto& [nid, text] : spec.extensions) {
    X509_EXTENSION* extension = X509V3_EXT_nconf_nid(nullptr, &context, nid, text.c_str());
    REQUIRE(extension);
    X509_CRL_add_ext(list, extension, -1);
    X509_EXTENSION_free(extension);
  }
  X509_CRL_sort(list);
  REQUIRE(X509_CRL_sign(list, ca.key.get(), EVP_sha256()) > 0);
  BIO* bio = BIO_new(BIO_s_mem());
  REQUIRE(PEM_write_bio_X509_CRL(bio, list) == 1);
  char* data = nullptr;
  long size = BIO_get_mem_data(bio, &data);
  std::string out(data, static_cast<size_t>(size));
  BIO_free(bio);
  ASN1_TIME_free(time);
  X509_CRL_free(list);
  return out;
}

Identity workload(std::string sa) { return {"cluster.local", "default", std::move(sa)}; }

LocalCa new_root() { return *make_root("test root", std::chrono::system_clock::now()); }

ScratchDir::ScratchDir() {
  std::string pattern = (std::filesystem::temp_directory_path() / "ambientd-test-XXXXXX").string();
  REQUIRE(mkdtemp(pattern.data()));
  path = pattern;
}

ScratchDir::~ScratchDir() {
  std::error_code ignored;  // nothing to do about it in a destructor
  std::filesystem::remove_all(path, ignored);
}

std::string ScratchDir::write(const std::string& name, const std::string& text) const {
  std::ofstream(file(name + ".new"), std::ios::binary) << text;
  std::filesystem::rename(file(name + ".new"), file(name));
  return file(name);
}

}  // namespace ambientd::test
