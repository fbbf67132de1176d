// SPDX-License-Identifier: Apache-2.0
// How a waypoint makes its connections: from the network namespace it runs in, as itself.
#pragma once

#include "core/certificates.h"
#include "hbone/pool.h"

namespace ambientd::l7 {

class Dialer final : public hbone::Dialer {
 public:
  // `mark`: SO_MARK of every socket, 0 for none. `certificates` outlives it.
  Dialer(Certificates& certificates, uint32_t mark) : certificates_(certificates), mark_(mark) {}

  Result<Fd> socket(bool v6) override { return tcp_socket(v6, mark_); }
  Task<Result<WorkloadCertificatePtr>> certificate(Identity identity, Scope& scope) override;

 private:
  Certificates& certificates_;
  uint32_t mark_;
};

}  // namespace ambientd::l7
