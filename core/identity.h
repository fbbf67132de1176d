// SPDX-License-Identifier: Apache-2.0
// A workload's certificate as one immutable value, and the Signer that makes them. Connections take the two
// contexts from it and keep those; a renewed certificate is a new value. Whoever holds a
// WorkloadCertificatePtr may use it on any thread.
#pragma once

#include <openssl/types.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/certificate.h"
#include "core/result.h"
#include "core/spiffe.h"
#include "core/tls.h"

namespace ambientd {

struct WorkloadCertificate {
  Identity identity;
  std::vector<CertificateText> chain;  // leaf first, then intermediates, without the root
  std::vector<CertificateText> roots;
  std::vector<std::string> root_ids;  // fingerprints of `roots`, sorted: equal lists mean the same trust
  TimePoint not_before, not_after;    // of the leaf
  std::shared_ptr<SSL_CTX> client, server;

  // Whether a connection whose PeerCheck::root is `root_id` would still be believed.
  bool trusts(std::string_view root_id) const;
  TimePoint half_life() const { return not_before + (not_after - not_before) / 2; }
};
using WorkloadCertificatePtr = std::shared_ptr<const WorkloadCertificate>;

// What a signer hands out for one identity.
struct Issued {
  std::vector<X509Ptr> chain;  // leaf first, then intermediates, without the root
  PrivateKeyPtr key;
  std::vector<X509Ptr> roots;
};

// Makes a usable certificate of what was issued. Errc::identity when the leaf is not `identity`'s
// (contract/ztunnel.md §9), Errc::invalid when parts are missing or do not belong together, Errc::tls when
// OpenSSL refuses them.
Result<WorkloadCertificatePtr> make_workload_certificate(const Identity& identity, const Issued& issued,
                                                         const TlsRules& rules = {});

class Signer {
 public:
  using Done = std::function<void(Result<Issued>)>;
  virtual ~Signer() = default;

  // Asks for a certificate; `done` is called exactly once, on any thread, perhaps before sign() returns.
  // Several calls may be in flight, from several threads. The destructor calls what is still due with
  // Errc::closed.
  virtual void sign(const Identity& identity, Done done) = 0;

  // Looks whether what it signs from has changed (files), and takes the change. True: certificates made
  // before should be replaced. On an error the former state stays in use.
  virtual Result<bool> refresh() = 0;
};

}  // namespace ambientd
