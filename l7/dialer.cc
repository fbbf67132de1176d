// SPDX-License-Identifier: Apache-2.0
#include "l7/dialer.h"

#include <memory>
#include <optional>

namespace ambientd::l7 {
namespace {

// A certificate that is on its way; it may come on any thread, long after nobody waits any more.
struct Pending final : Closable {
  void settle(Result<WorkloadCertificatePtr> outcome) {
    if (!result) result = std::move(outcome);
    done.set();
  }
  void close(Errc why) override { settle(fail(why, "gave up waiting for a certificate")); }

  Event done{"certificate"};
  std::optional<Result<WorkloadCertificatePtr>> result;
};

}  // namespace

Task<Result<WorkloadCertificatePtr>> Dialer::certificate(Identity identity, Scope& scope) {
  if (WorkloadCertificatePtr now = certificates_.current(identity)) co_return now;
  auto pending = std::make_shared<Pending>();
  scope.add(*pending);
  Loop& loop = Loop::current();
  certificates_.get(identity, [pending, &loop](Result<WorkloadCertificatePtr> result) {
    loop.post([pending, result = std::move(result)]() mutable { pending->settle(std::move(result)); });
  });
  co_await pending->done;
  pending->Closable::unlink();  // its last owner may be another thread
  co_return std::move(*pending->result);
}

}  // namespace ambientd::l7
