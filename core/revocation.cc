// SPDX-License-Identifier: Apache-2.0
#include "core/revocation.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "core/certificate.h"
#include "core/text.h"

namespace ambientd {
namespace {

constexpr size_t kMaxLists = 100;
constexpr size_t kMaxIssuers = 16;       // whose signature one list remembers
constexpr size_t kMaxCrlFile = 4 << 20;  // bytes: about 100,000 certificates

struct Free {
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(X509_CRL* list) const { X509_CRL_free(list); }
  void operator()(AUTHORITY_KEYID* id) const { AUTHORITY_KEYID_free(id); }
  void operator()(ISSUING_DIST_POINT* point) const { ISSUING_DIST_POINT_free(point); }
  void operator()(char* text) const { OPENSSL_free(text); }
};
using CrlPtr = std::unique_ptr<X509_CRL, Free>;

std::string issuer_of(const X509_CRL* list) {
  std::unique_ptr<char, Free> text(X509_NAME_oneline(X509_CRL_get_issuer(list), nullptr, 0));
  return text ? text.get() : "";
}

// Why this list cannot be used as one that only takes trust away; empty: it can.
std::string unusable(const X509_CRL* list) {
  for (int i = 0; i < X509_CRL_get_ext_count(list); ++i) {
    X509_EXTENSION* extension = X509_CRL_get_ext(list, i);
    int kind = OBJ_obj2nid(X509_EXTENSION_get_object(extension));
    if (kind == NID_delta_crl) return "is a delta list: give the complete one";
    if (X509_EXTENSION_get_critical(extension) && kind != NID_issuing_distribution_point)
      return "has a critical extension that is not known here";
  }
  int state = 0;  // -1: no such extension
  std::unique_ptr<ISSUING_DIST_POINT, Free> point(static_cast<ISSUING_DIST_POINT*>(
      X509_CRL_get_ext_d2i(list, NID_issuing_distribution_point, &state, nullptr)));
  if (!point && state != -1) return "has a distribution point that does not parse";
  if (point && point->indirectCRL > 0)
    return "is an indirect list (of other issuers' certificates): each CA's own is needed";
  return {};
}

}  // namespace

// One list, with the issuers whose signature on it has been looked at.
class RevocationList {
 public:
  explicit RevocationList(CrlPtr list)
      : list_(std::move(list)),
        issuer_key_(static_cast<AUTHORITY_KEYID*>(
            X509_CRL_get_ext_d2i(list_.get(), NID_authority_key_identifier, nullptr, nullptr))) {}

  Status check(X509* certificate, X509* issuer) const {
    if (X509_NAME_cmp(X509_CRL_get_issuer(list_.get()), X509_get_issuer_name(certificate)) != 0) return {};
    // A CA of the same name with another key has a list of its own.
    X509_get0_subject_key_id(issuer);  // has the extensions parsed, which the next call does not
    if (issuer_key_ && X509_check_akid(issuer, issuer_key_.get()) != X509_V_OK) return {};
    if (!signed_by(issuer))
      return fail(Errc::tls,
                  fmt::format("invalid peer certificate: the revocation list of {} is not signed by "
                              "the CA that issued the certificate",
                              quoted(issuer_of(list_.get()))));
    X509_REVOKED* entry = nullptr;
    if (X509_CRL_get0_by_serial(list_.get(), &entry, X509_get_serialNumber(certificate)) == 0) return {};
    return fail(Errc::revoked, fmt::format("invalid peer certificate: revoked (serial number {}, issuer {})",
                                           serial_number(certificate), quoted(issuer_of(list_.get()))));
  }

  size_t revoked() const {
    return static_cast<size_t>(std::max(0, sk_X509_REVOKED_num(X509_CRL_get_REVOKED(list_.get()))));
  }

 private:
  bool signed_by(X509* issuer) const {
    std::string id = fingerprint(issuer);
    std::lock_guard lock(mutex_);
    auto known = std::ranges::find(issuers_, id, &std::pair<std::string, bool>::first);
    if (known != issuers_.end()) return known->second;
    bool good = X509_CRL_verify(list_.get(), X509_get0_pubkey(issuer)) == 1;
    ERR_clear_error();
    if (issuers_.size() < kMaxIssuers) issuers_.emplace_back(std::move(id), good);
    return good;
  }

  CrlPtr list_;
  std::unique_ptr<AUTHORITY_KEYID, Free> issuer_key_;
  mutable std::mutex mutex_;
  mutable std::vector<std::pair<std::string, bool>> issuers_;
};

RevocationLists::RevocationLists() = default;
RevocationLists::~RevocationLists() = default;

size_t RevocationLists::revoked() const {
  size_t n = 0;
  for (const std::unique_ptr<RevocationList>& each : lists_) n += each->revoked();
  return n;
}

Status RevocationLists::check(const stack_st_X509* chain) const {
  int count = chain ? sk_X509_num(chain) : 0;
  for (int i = 0; i + 1 < count; ++i) {
    for (const std::unique_ptr<RevocationList>& each : lists_) {
      Status good = each->check(sk_X509_value(chain, i), sk_X509_value(chain, i + 1));
      if (!good) return good;
    }
  }
  return {};
}

namespace {

Result<std::vector<CrlPtr>> parse_der(std::string_view text, std::string_view source) {
  const auto* at = reinterpret_cast<const unsigned char*>(text.data());
  const unsigned char* end = at + text.size();
  std::vector<CrlPtr> out;
  out.emplace_back(d2i_X509_CRL(nullptr, &at, static_cast<long>(text.size())));
  bool good = out.front() && at == end;
  ERR_clear_error();
  if (!good)
    return fail(Errc::invalid,
                fmt::format("{}: no revocation list in it (PEM with BEGIN X509 CRL, or DER)", source));
  return out;
}

Result<std::vector<CrlPtr>> parse_pem(std::string_view text, std::string_view source) {
  ERR_clear_error();
  std::unique_ptr<BIO, Free> bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  std::vector<CrlPtr> out;
  while (CrlPtr next{PEM_read_bio_X509_CRL(bio.get(), nullptr, nullptr, nullptr)}) {
    if (out.size() == kMaxLists)
      return fail(Errc::invalid, fmt::format("{}: more than {} revocation lists", source, kMaxLists));
    out.push_back(std::move(next));
  }
  unsigned long last = ERR_peek_last_error();
  bool at_end = ERR_GET_LIB(last) == ERR_LIB_PEM && ERR_GET_REASON(last) == PEM_R_NO_START_LINE;
  std::string detail = tls_error();
  if (!at_end)
    return fail(Errc::invalid,
                fmt::format("{}: revocation list {} does not parse: {}", source, out.size() + 1, detail));
  if (out.empty())
    return fail(Errc::invalid,
                fmt::format("{}: no revocation list in it (PEM with BEGIN X509 CRL, or DER)", source));
  return out;
}

Result<std::vector<CrlPtr>> parse_any(std::string_view text, std::string_view source) {
  if (text.size() > kMaxCrlFile) return fail(Errc::invalid, fmt::format("{}: larger than 4 MiB", source));
  if (text.find_first_not_of(" \t\r\n") == text.npos) return std::vector<CrlPtr>();
  bool pem = text.find("-----BEGIN") != text.npos;
  return pem ? parse_pem(text, source) : parse_der(text, source);
}

}  // namespace

Result<RevocationListsPtr> RevocationLists::parse(std::string_view text, std::string_view source) {
  Result<std::vector<CrlPtr>> found = parse_any(text, source);
  if (!found) return fail(std::move(found.error()));
  std::shared_ptr<RevocationLists> out(new RevocationLists);
  for (CrlPtr& each : *found) {
    std::string why = unusable(each.get());
    ERR_clear_error();  // of extensions that do not parse
    if (!why.empty())
      return fail(Errc::invalid, fmt::format("{}: the revocation list of {} {}", source,
                                             quoted(issuer_of(each.get())), why));
    out->lists_.push_back(std::make_unique<RevocationList>(std::move(each)));
  }
  return out;
}

RevocationListsPtr Revocations::current() const {
  std::lock_guard lock(mutex_);
  return current_;
}

void Revocations::replace(RevocationListsPtr next) {
  std::lock_guard lock(mutex_);
  current_.swap(next);
}

RevocationFile::RevocationFile(std::string path) : path_(std::move(path)), stamps_({path_}) {}

Result<RevocationListsPtr> RevocationFile::read(const std::string& path) {
  Result<std::string> text = read_file(path, kMaxCrlFile);
  if (!text) return fail(std::move(text.error()));
  return RevocationLists::parse(*text, path);
}

Result<std::unique_ptr<RevocationFile>> RevocationFile::open(const std::string& path) {
  std::unique_ptr<RevocationFile> out(new RevocationFile(path));
  Result<RevocationListsPtr> lists = read(path);
  if (!lists)
    return fail(
        lists.error().code,
        fmt::format("{} (CRL_PATH asks for revocation checks, which need a list: mend the file, make it "
                    "empty to revoke nothing, or unset CRL_PATH)",
                    lists.error().detail));
  out->lists_ = std::make_shared<Revocations>(std::move(*lists));
  return out;
}

Result<bool> RevocationFile::refresh() {
  if (stamps_.changed()) {
    settling_ = true;
    return false;
  }
  if (!std::exchange(settling_, false)) return false;
  Result<RevocationListsPtr> lists = read(path_);
  if (!lists)
    return fail(lists.error().code,
                "the changed revocation lists cannot be used, the former ones stay in force: " +
                    lists.error().detail);
  lists_->replace(std::move(*lists));
  return true;
}

}  // namespace ambientd
