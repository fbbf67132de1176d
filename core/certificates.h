// SPDX-License-Identifier: Apache-2.0
// Certificates keeps one current certificate per identity: fetched once however many wait for it, renewed at
// half of its life, replaced when the roots change. It is thread-safe and has no timer and no clock of its
// own: somebody must call tick(). A renewal that fails keeps the old certificate until that expires.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/identity.h"

namespace ambientd {

class Certificates {
 public:
  using Done = std::function<void(Result<WorkloadCertificatePtr>)>;
  struct Events {
    // A certificate was published, failed or is newly wanted: call tick() soon, and compare roots in pools.
    // Called without locks, on any thread, perhaps inside tick() or get().
    std::function<void()> changed = [] {};
    std::function<void(const Error&)> failed = [](const Error&) {};  // one sentence for the log
  };
  // One line of the configuration dump.
  struct Listed {
    Identity identity;
    std::string state;  // `Initializing`, `Available` or `Unavailable: <error>`
    WorkloadCertificatePtr certificate;
  };

  explicit Certificates(std::unique_ptr<Signer> signer) : Certificates(std::move(signer), Events()) {}
  Certificates(std::unique_ptr<Signer> signer, Events events, TlsRules rules = {});
  ~Certificates();
  Certificates(const Certificates&) = delete;
  Certificates& operator=(const Certificates&) = delete;

  // The current certificate, or null when there is none now.
  WorkloadCertificatePtr current(const Identity& identity) const;

  // The current certificate, or the first one to come. `done` is called exactly once: at once when there is a
  // certificate or a standing failure (Errc::identity), else on the thread that the signer finishes on.
  void get(const Identity& identity, Done done);

  // Takes changes of the signer's files, starts renewals and retries that are due, and retires certificates
  // that expired. Returns when to call it next, at most a second later.
  TimePoint tick(TimePoint now);

  void forget(const Identity& identity);  // no workload has it any more: it is not renewed, waiters fail
  std::vector<Listed> list() const;       // by identity

 private:
  struct Entry {
    WorkloadCertificatePtr current;
    std::optional<Error> error;  // of the last attempt
    uint64_t attempt = 0;        // the one in flight or the last; answers to former ones are dropped
    bool in_flight = false;
    int failures = 0;              // in a row
    std::optional<TimePoint> due;  // of the next attempt; nothing while tick() has yet to say
    std::vector<Done> waiters;
  };
  struct Attempt {
    Identity identity;
    uint64_t number;
  };
  static TimePoint next_attempt(const Identity& identity, const Entry& entry, TimePoint now);
  Attempt begin(const Identity& identity, Entry& entry);
  void run(const Attempt& attempt);
  void finish(const Attempt& attempt, Result<WorkloadCertificatePtr> result);
  bool signer_changed();
  void retire(const Identity& identity, Entry& entry);

  const Events events_;
  const TlsRules rules_;
  mutable std::mutex mutex_;  // guards what follows; never held while calling out
  std::map<Identity, Entry> entries_;
  TimePoint last_tick_{};
  uint64_t attempts_ = 0;
  std::unique_ptr<Signer> signer_;  // last: its destructor still answers
};

}  // namespace ambientd
