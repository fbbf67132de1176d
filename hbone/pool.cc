// SPDX-License-Identifier: Apache-2.0
#include "hbone/pool.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/deadline.h"
#include "core/tls.h"
#include "core/tls_stream.h"

namespace ambientd::hbone {

struct Pool::Connection {
  Transport transport;
  std::string root;  // what verified the peer
  std::optional<Session> session;
};

struct Pool::Entry {
  PoolKey key;
  std::optional<Scope> dialing;  // what the one dial waits for, while there is one
  std::vector<Connection*> connections;
  List<Place> waiting;
  size_t claims = 0;
};

Pool::Pool(const PoolLimits& limits) : limits_(limits) {}

Pool::~Pool() = default;

size_t Pool::connections() const {
  size_t n = 0;
  for (const auto& [key, entry] : entries_) n += entry->connections.size();
  return n;
}

Session* Pool::pick(Entry& entry) const {
  for (Connection* each : entry.connections) {
    Session& session = *each->session;
    size_t most = std::min<size_t>(limits_.max_streams, session.peer_max_streams());
    if (session.usable() && session.exchanges() < most) return &session;
  }
  return nullptr;
}

Pool::Claim::Claim(Pool& pool, Entry& entry) : pool_(pool), entry_(&entry) { ++entry.claims; }

Pool::Claim::~Claim() {
  if (!entry_) return;
  --entry_->claims;
  pool_.forget_if_unused(*entry_);
}

Pool::Claim Pool::claim(const PoolKey& key) {
  std::unique_ptr<Entry>& slot = entries_[key];
  if (!slot) slot = std::make_unique<Entry>(key);
  return {*this, *slot};
}

Pool::Place::Place(Claim claim, Dialer& dialer, Scope& scope)
    : claim_(std::move(claim)), dialer_(dialer), scope_(scope) {
  scope.add(*this);
}

void Pool::Place::close(Errc why) {
  if (!error_) error_ = std::make_unique<Error>(why, "gave up waiting for an HBONE connection");
  ready_.wake();
}

bool Pool::Place::take(const WriteHeaders& request, Result<std::unique_ptr<Exchange>>& out) {
  Pool& pool = claim_.pool_;
  for (;;) {
    if (error_) {
      out = fail(scope_.explain(*error_));
      return true;
    }
    if (pool.draining_) {
      out = fail(Errc::draining, "pool draining");
      return true;
    }
    Session* session = pool.pick(*claim_.entry_);
    if (!session) break;
    out = session->request(request(), false);
    if (out || session->usable()) return true;
  }
  pool.wait_for_dial(*this);
  return false;
}

void Pool::wait_for_dial(Place& place) {
  Entry& entry = *place.claim_.entry_;
  entry.waiting.push_back(place);
  if (entry.dialing) return;
  entry.dialing.emplace();
  Loop::current().spawn({"hbone connection to", entry.key.to}, drive(&entry, &place.dialer_));
}

void Pool::settle(Entry& entry, const std::optional<Error>& error) {
  List<Place> waiting;
  waiting.take(entry.waiting);
  while (!waiting.empty()) {
    Place& place = waiting.front();
    place.Listed<Place>::unlink();
    if (error && !place.error_) place.error_ = std::make_unique<Error>(*error);
    place.ready_.wake();
  }
}

void Pool::forget_if_unused(Entry& entry) {
  if (entry.dialing || !entry.connections.empty() || entry.claims > 0) return;
  entries_.erase(PoolKey(entry.key));
  if (entries_.empty()) emptied_.set();
}

Task<void> Pool::until_empty() {
  while (!entries_.empty()) {
    emptied_.reset();
    co_await emptied_;
  }
}

Task<Result<std::unique_ptr<Pool::Connection>>> Pool::dial(Entry* entry, Dialer* dialer) {
  const PoolKey& key = entry->key;
  Scope& scope = *entry->dialing;
  Deadline deadline(scope, limits_.connect_ms,
                    {Errc::hbone_timed_out,
                     fmt::format("connection timed out, maybe a NetworkPolicy is blocking HBONE port {}: {}",
                                 key.to.port, key.to.str())});
  Result<Transport> transport = co_await dialer->dial(key, scope);
  if (!transport) co_return fail(std::move(transport.error()));
  Status good = check_revoked(transport->tls);  // the lists may have changed since the peer was verified
  if (!good) co_return fail(std::move(good.error()));
  auto connection = std::make_unique<Connection>();
  connection->root = peer_check(transport->tls).root;
  connection->transport = std::move(*transport);
  co_return std::move(connection);
}

Task<Result<Transport>> Dialer::dial(PoolKey key, Scope& scope) {
  Result<WorkloadCertificatePtr> current = co_await certificate(key.source, scope);
  if (!current) co_return fail(std::move(current.error()));
  Result<Fd> fd = socket(key.to.ip.v6);
  if (!fd) co_return fail(std::move(fd.error()));
  Result<Fd> connected = co_await connect(std::move(*fd), key.to, scope);
  if (!connected) co_return fail(std::move(connected.error()));
  SslPtr ssl(SSL_new((*current)->client.get()));
  SSL_set_connect_state(ssl.get());
  expect_peers(ssl.get(), std::move(key.peers));
  Result<std::unique_ptr<TlsStream>> tls =
      co_await TlsStream::handshake(std::move(*connected), std::move(ssl), scope);
  if (!tls) co_return fail(std::move(tls.error()));
  const SSL* known = (*tls)->ssl();
  co_return Transport{std::move(*tls), known};
}

std::optional<Identity> Pool::peer(const Exchange& tunnel) const {
  for (const auto& [key, entry] : entries_) {
    for (const Connection* each : entry->connections)
      if (&*each->session == &tunnel.session()) return peer_check(each->transport.tls).identity;
  }
  return {};
}

Task<void> Pool::drive(Entry* entry, Dialer* dialer) {
  Result<std::unique_ptr<Connection>> connection = co_await dial(entry, dialer);
  entry->dialing.reset();
  if (!connection) {
    settle(*entry, connection.error());
    forget_if_unused(*entry);
    co_return;
  }
  Connection& mine = **connection;
  mine.session.emplace(Session::Role::client, *mine.transport.stream, limits_.session);
  entry->connections.push_back(&mine);
  settle(*entry, {});
  Timer unused([this, &mine, &unused] {
    uint64_t idle = mine.session->idle_ms();
    if (idle >= limits_.release_ms) {
      mine.session->drain();
    } else {
      Loop::current().set_timer(unused, limits_.release_ms - idle);
    }
  });
  Loop::current().set_timer(unused, limits_.release_ms);
  if (draining_) mine.session->drain();
  Status ended = co_await mine.session->run();
  std::erase(entry->connections, &mine);
  forget_if_unused(*entry);
}

void Pool::reconsider(const WorkloadCertificate& now) {
  for (auto& [key, entry] : entries_) {
    if (key.source != now.identity) continue;
    for (Connection* each : entry->connections) {
      if (!now.trusts(each->root)) each->session->drain();
    }
  }
}

void Pool::evict(const std::function<bool(const PoolKey&)>& stale) {
  for (auto& [key, entry] : entries_) {
    if (entry->connections.empty() || !stale(key)) continue;
    for (Connection* each : entry->connections) each->session->drain();
  }
}

void Pool::revoke() {
  for (auto& [key, entry] : entries_) {
    for (Connection* each : entry->connections) {
      if (!check_revoked(each->transport.tls)) each->session->close(Errc::revoked);
    }
  }
}

void Pool::close() {
  draining_ = true;
  for (auto& [key, entry] : entries_) {
    if (entry->dialing) entry->dialing->close({Errc::draining, "pool draining"});
    for (Connection* each : entry->connections) each->session->close(Errc::draining);
  }
}

void Pool::drain() {
  draining_ = true;
  for (auto& [key, entry] : entries_) {
    for (Connection* each : entry->connections) each->session->drain();
  }
}

}  // namespace ambientd::hbone
