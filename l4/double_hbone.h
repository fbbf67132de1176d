// SPDX-License-Identifier: Apache-2.0
// Double HBONE: to another network the way leads through its gateway, which sees a tunnel and nothing in it.
// In that tunnel runs an HBONE connection of its own, to the real peer (contract/ztunnel.md §4, §5.4). Inner
// connections live in the pod's pool like any other, so calls of one kind share one.
#pragma once

#include "hbone/pool.h"

namespace ambientd::l4 {

struct PodWorker;

// Dials inner connections; lives as long as its pod.
class DoubleDialer final : public hbone::Dialer {
 public:
  explicit DoubleDialer(PodWorker& pod) : pod_(pod) {}
  // Errors: those of a tunnel through key.carriers, and of TLS with key.peers inside it.
  Task<Result<hbone::Transport>> dial(hbone::PoolKey key, Scope& scope) override;
  Result<Fd> socket(bool v6) override;
  Task<Result<WorkloadCertificatePtr>> certificate(Identity identity, Scope& scope) override;

 private:
  PodWorker& pod_;
};

}  // namespace ambientd::l4
