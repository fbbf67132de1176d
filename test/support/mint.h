// SPDX-License-Identifier: Apache-2.0
// Makes certificates for tests, also ones that no good CA would sign.
#pragma once

#include <string>
#include <vector>

#include "core/identity.h"
#include "core/local_ca.h"

namespace ambientd::test {

struct CertificateSpec {
  std::vector<std::string> uris, dns;  // SANs, byte for byte
  std::string common_name;
  std::string eku = "serverAuth,clientAuth";  // empty: no EKU extension
  bool ca = false;
  std::chrono::seconds from{-60}, until{3600};  // relative to now
};

// Signed by `issuer` with `issuer_key`; self-signed where `issuer` is null.
X509Ptr mint(const CertificateSpec& spec, EVP_PKEY* key, X509* issuer, EVP_PKEY* issuer_key);

// A leaf with a fresh key from `ca`, with all the CA hands out.
Issued mint_leaf(const LocalCa& ca, const CertificateSpec& spec);

// A self-signed CA over `key`.
LocalCa mint_ca(std::string common_name, PrivateKeyPtr key);

struct CrlSpec {
  std::vector<const X509*> revoked;
  std::vector<std::pair<int, std::string>> extensions;  // NID and openssl's text for it
  std::chrono::seconds until{3600};                     // nextUpdate, relative to now
};

// A revocation list of `ca`, signed by it. PEM.
std::string mint_crl(const LocalCa& ca, const CrlSpec& spec);

Identity workload(std::string sa);  // spiffe://cluster.local/ns/default/sa/<sa>
LocalCa new_root();                 // P-256, named `test root`

// A directory of its own, removed with all in it.
class ScratchDir {
 public:
  ScratchDir();
  ~ScratchDir();
  ScratchDir(const ScratchDir&) = delete;
  ScratchDir& operator=(const ScratchDir&) = delete;
  std::string file(const std::string& name) const { return path + "/" + name; }
  // Replaces by rename, as kubelet and cert-manager do.
  std::string write(const std::string& name, const std::string& text) const;
  std::string path;
};

}  // namespace ambientd::test
