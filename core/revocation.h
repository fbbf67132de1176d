// SPDX-License-Identifier: Apache-2.0
// Certificate revocation lists (RFC 5280 §5) as the mesh uses them (contract/ztunnel.md §5.1): a list only
// takes trust away. A certificate that no list speaks of is good, and a list past its nextUpdate still
// counts. The rule nobody may break: ask about the chain that was verified, never about what a peer sent.
#pragma once

#include <openssl/types.h>

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "core/credential_files.h"
#include "core/result.h"

struct stack_st_X509;  // STACK_OF(X509)

namespace ambientd {

class RevocationList;  // one of them

// The lists of one file, immutable. Any thread may ask.
class RevocationLists {
 public:
  // PEM with any number of X509 CRL blocks, or one list in DER; nothing but white space revokes nothing. At
  // most 100 lists. Indirect and delta lists are refused, and critical extensions nobody knows. `source`
  // names the text in errors. Errc::invalid.
  static Result<std::shared_ptr<const RevocationLists>> parse(std::string_view text, std::string_view source);
  ~RevocationLists();

  // A verified chain, leaf first, trust anchor last; every certificate but the anchor is looked for.
  // Errc::revoked names the certificate; Errc::tls: a list with the issuer's name is not signed by it.
  Status check(const stack_st_X509* chain) const;

  size_t size() const { return lists_.size(); }
  size_t revoked() const;  // certificates in them

 private:
  RevocationLists();
  std::vector<std::unique_ptr<RevocationList>> lists_;
};
using RevocationListsPtr = std::shared_ptr<const RevocationLists>;

// What is revoked now: swapped whole by one thread, read by the handshakes of all.
class Revocations {
 public:
  explicit Revocations(RevocationListsPtr first) : current_(std::move(first)) {}
  RevocationListsPtr current() const;
  void replace(RevocationListsPtr next);

 private:
  mutable std::mutex mutex_;
  RevocationListsPtr current_;
};

// The file behind them (CRL_PATH).
class RevocationFile {
 public:
  // Errors: io, invalid. A proxy that was told to check and cannot must not start.
  static Result<std::unique_ptr<RevocationFile>> open(const std::string& path);

  std::shared_ptr<const Revocations> lists() const { return lists_; }

  // Looks at the file; to be called about once a second. A change is read once it has settled from one look
  // to the next, because lists are written in pieces. True: other lists are in force now. On an error the
  // former ones stay, and the same file is not complained about again.
  Result<bool> refresh();

 private:
  explicit RevocationFile(std::string path);
  static Result<RevocationListsPtr> read(const std::string& path);

  std::string path_;
  FileStamps stamps_;
  bool settling_ = false;
  std::shared_ptr<Revocations> lists_;
};

}  // namespace ambientd
