// SPDX-License-Identifier: Apache-2.0
#include "core/file_signer.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/x509.h>

#include <iterator>
#include <mutex>
#include <utility>

#include "core/credential_files.h"

namespace ambientd {
namespace {

Result<Issued> load(const CertificateFiles& files) {
  Result<std::vector<X509Ptr>> chain = read_certificates(files.cert);
  if (!chain) return fail(chain.error());
  Result<PrivateKeyPtr> key = read_private_key(files.key);
  if (!key) return fail(key.error());
  Result<std::vector<X509Ptr>> roots = read_certificates(files.root);
  if (!roots) return fail(roots.error());
  if (X509_check_private_key(chain->front().get(), key->get()) != 1) {
    ERR_clear_error();
    return fail(Errc::invalid,
                fmt::format("{} is not the key of the first certificate in {}", files.key, files.cert));
  }
  Result<Identity> owner = peer_identity(chain->front().get());
  if (!owner) return fail(Errc::invalid, files.cert + ": " + owner.error().detail);
  return Issued{std::move(*chain), std::move(*key), std::move(*roots)};
}

Issued copy(const Issued& from) {
  Issued out;
  for (const X509Ptr& one : from.chain) out.chain.push_back(share(one.get()));
  for (const X509Ptr& one : from.roots) out.roots.push_back(share(one.get()));
  out.key = share(from.key.get());
  return out;
}

class FileSigner final : public Signer {
 public:
  FileSigner(CertificateFiles files, FileStamps stamps, Issued loaded)
      : files_(std::move(files)), stamps_(std::move(stamps)), loaded_(std::move(loaded)) {}

  void sign(const Identity& identity, Done done) override { done(take(identity)); }

  Result<bool> refresh() override {
    std::lock_guard lock(mutex_);
    if (!stamps_.changed()) return false;
    Result<Issued> fresh = load(files_);
    if (!fresh) return fail(fresh.error());
    loaded_ = std::move(*fresh);
    return true;
  }

 private:
  Result<Issued> take(const Identity& identity) {
    std::lock_guard lock(mutex_);
    Result<Identity> owner = peer_identity(loaded_.chain.front().get());
    if (!owner) return fail(owner.error());
    if (*owner == identity) return copy(loaded_);
    return fail(Errc::identity, fmt::format("no certificate for {}: {} is for {}", identity.uri(),
                                            files_.cert, owner->uri()));
  }

  const CertificateFiles files_;
  std::mutex mutex_;
  FileStamps stamps_;
  Issued loaded_;
};

}  // namespace

Result<std::unique_ptr<Signer>> file_signer(CertificateFiles files) {
  FileStamps stamps({files.cert, files.key, files.root});
  Result<Issued> loaded = load(files);
  if (!loaded) return fail(loaded.error());
  return std::make_unique<FileSigner>(std::move(files), std::move(stamps), std::move(*loaded));
}

}  // namespace ambientd
