// SPDX-License-Identifier: Apache-2.0
#include "core/certificates.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace ambientd {
namespace {

using std::chrono::seconds;

constexpr seconds kLookEvery{1};   // at the signer's files
constexpr seconds kFirstRetry{1};  // doubled after each failure (contract/ztunnel.md §9)
constexpr seconds kLastRetry{150};
constexpr seconds kOldCertificate{60};  // between looks for a newer one when we are given old ones

// A fifth more or less, always the same for one identity, so that retries of many do not come at once.
TimePoint::duration backoff(const Identity& identity, int failures) {
  seconds base = std::min(kFirstRetry * (1 << std::min(failures - 1, 10)), kLastRetry);
  auto percent = static_cast<int64_t>(80 + std::hash<Identity>{}(identity) % 41);
  return std::chrono::duration_cast<TimePoint::duration>(base) * percent / 100;
}

// When to renew. A certificate that is past its half-life when we get it (from files) is looked for again at
// half of what is left, so that nobody is asked in a circle.
TimePoint renewal(const WorkloadCertificate& certificate, TimePoint now) {
  if (certificate.half_life() > now) return certificate.half_life();
  TimePoint::duration half_left = (certificate.not_after - now) / 2;
  return now + std::clamp<TimePoint::duration>(half_left, kLookEvery, kOldCertificate);
}

}  // namespace

Certificates::Certificates(std::unique_ptr<Signer> signer, Events events, TlsRules rules)
    : events_(std::move(events)), rules_(std::move(rules)), signer_(std::move(signer)) {}

Certificates::~Certificates() {
  std::map<Identity, Entry> left;
  {
    std::lock_guard lock(mutex_);
    left.swap(entries_);
  }
  signer_.reset();  // answers now find no entry
  for (auto& [identity, entry] : left)
    for (Done& done : entry.waiters)
      done(fail(Errc::closed, "no certificate for " + identity.uri() + ": shutting down"));
}

WorkloadCertificatePtr Certificates::current(const Identity& identity) const {
  std::lock_guard lock(mutex_);
  auto found = entries_.find(identity);
  return found == entries_.end() ? nullptr : found->second.current;
}

void Certificates::get(const Identity& identity, Done done) {
  std::unique_lock lock(mutex_);
  Entry& entry = entries_[identity];
  if (entry.current || entry.error) {
    Result<WorkloadCertificatePtr> known = entry.current;
    if (!entry.current) known = fail(Errc::identity, entry.error->detail);
    lock.unlock();
    return done(std::move(known));
  }
  entry.waiters.push_back(std::move(done));
  if (entry.in_flight) return;
  Attempt attempt = begin(identity, entry);
  lock.unlock();
  run(attempt);
}

TimePoint Certificates::tick(TimePoint now) {
  bool replace_all = signer_changed();
  TimePoint next = now + kLookEvery;
  std::vector<Attempt> attempts;
  bool retired = false;
  {
    std::lock_guard lock(mutex_);
    last_tick_ = now;
    for (auto& [identity, entry] : entries_) {
      if (entry.current && entry.current->not_after <= now) {
        retire(identity, entry);
        retired = true;
      }
      if (!entry.in_flight && !entry.due) entry.due = next_attempt(identity, entry, now);
      bool due = !entry.in_flight && *entry.due <= now;
      if (due || replace_all) attempts.push_back(begin(identity, entry));
      if (entry.due) next = std::min(next, *entry.due);
      if (entry.current) next = std::min(next, entry.current->not_after);
    }
  }
  for (const Attempt& attempt : attempts) run(attempt);
  if (retired) events_.changed();
  return next;
}

void Certificates::forget(const Identity& identity) {
  std::unique_lock lock(mutex_);
  auto node = entries_.extract(identity);
  lock.unlock();
  if (node.empty()) return;
  for (Done& done : node.mapped().waiters)
    done(fail(Errc::closed,
              "no certificate for " + identity.uri() + ": nobody here has that identity any more"));
}

std::vector<Certificates::Listed> Certificates::list() const {
  std::lock_guard lock(mutex_);
  std::vector<Listed> out;
  for (const auto& [identity, entry] : entries_) {
    std::string state = entry.current ? "Available"
                        : entry.error ? "Unavailable: " + entry.error->detail
                                      : "Initializing";
    out.push_back({identity, std::move(state), entry.current});
  }
  return out;
}

// After a success at the renewal, after a failure when the back-off is over, but in time for the expiry.
TimePoint Certificates::next_attempt(const Identity& identity, const Entry& entry, TimePoint now) {
  if (entry.failures == 0) return renewal(*entry.current, now);
  TimePoint retry = now + backoff(identity, entry.failures);
  return entry.current ? std::min(retry, entry.current->not_after) : retry;
}

Certificates::Attempt Certificates::begin(const Identity& identity, Entry& entry) {
  entry.in_flight = true;
  entry.due.reset();
  entry.attempt = ++attempts_;
  return {identity, entry.attempt};
}

void Certificates::run(const Attempt& attempt) {
  signer_->sign(attempt.identity, [this, attempt](Result<Issued> issued) {
    if (!issued) return finish(attempt, fail(issued.error()));
    finish(attempt, make_workload_certificate(attempt.identity, *issued, rules_));
  });
}

void Certificates::finish(const Attempt& attempt, Result<WorkloadCertificatePtr> result) {
  std::unique_lock lock(mutex_);
  auto found = entries_.find(attempt.identity);
  if (found == entries_.end() || found->second.attempt != attempt.number) return;
  Entry& entry = found->second;
  if (result && (*result)->not_after <= last_tick_)
    result = fail(Errc::identity, "the certificate for " + attempt.identity.uri() + " has already expired");
  entry.in_flight = false;
  std::vector<Done> waiters = std::exchange(entry.waiters, {});
  std::optional<Error> failure;
  if (result) {
    entry.current = *result;
    entry.error.reset();
    entry.failures = 0;
  } else {
    entry.error = result.error();
    entry.failures++;
    failure = Error{result.error().code,
                    fmt::format("cannot get a certificate for {}{}: {}", attempt.identity.uri(),
                                entry.current ? ", the current one stays in use until it expires" : "",
                                result.error().detail)};
  }
  lock.unlock();
  for (Done& done : waiters) {
    if (result)
      done(*result);
    else
      done(fail(Errc::identity, result.error().detail));
  }
  if (failure) events_.failed(*failure);
  events_.changed();
}

bool Certificates::signer_changed() {
  Result<bool> changed = signer_->refresh();
  if (changed) return *changed;
  events_.failed(
      {changed.error().code, "the changed certificate files cannot be used, the former ones stay in use: " +
                                 changed.error().detail});
  return false;
}

void Certificates::retire(const Identity& identity, Entry& entry) {
  entry.current.reset();
  entry.failures = std::max(entry.failures, 1);
  if (!entry.error)
    entry.error = Error{Errc::identity, "the certificate for " + identity.uri() + " has expired"};
}

}  // namespace ambientd
