// SPDX-License-Identifier: Apache-2.0
// A certificate authority inside the process, for meshes without istiod: it signs a leaf for whoever asks, so
// its key is the whole mesh's trust.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "core/identity.h"

namespace ambientd {

// The authority as a value: what it signs with, and what it hands out beside the leaf.
struct LocalCa {
  X509Ptr issuer;
  PrivateKeyPtr key;                   // RSA or EC
  std::vector<X509Ptr> intermediates;  // from the issuer (included unless it is the root) to below the root
  std::vector<X509Ptr> roots;

  // A leaf for `identity` with a fresh P-256 key, EKU client and server, one critical URI SAN and a random
  // serial, good from shortly before `now` (2 minutes, less for short lives) to now + ttl, but not beyond the
  // issuer. Errc::invalid when the issuer has expired, Errc::tls when signing fails.
  Result<Issued> issue(const Identity& identity, std::chrono::seconds ttl, TimePoint now) const;
};

// Reads PEM text: the first certificate is the issuer of `key`; of the others the self-signed ones are
// further roots, the rest intermediates. Without any self-signed one the last certificate is the root.
// Errc::invalid, naming the source.
Result<LocalCa> parse_local_ca(std::string_view certificates, std::string_view certificates_source,
                               std::string_view key, std::string_view key_source);

// A fresh self-signed P-256 root, good for ten years from `now`.
Result<LocalCa> make_root(std::string_view common_name, TimePoint now);

// Signs from --ca-cert and --ca-key, which it re-reads when they change; leaves live `ttl` (SECRET_TTL).
// Errc::invalid or Errc::io, naming the file, when they cannot be used.
Result<std::unique_ptr<Signer>> local_ca_signer(std::string ca_cert_file, std::string ca_key_file,
                                                std::chrono::seconds ttl);

}  // namespace ambientd
