// SPDX-License-Identifier: Apache-2.0
// The HBONE connections a loop has open to peers, shared by the tunnels that go the same way. The key holds
// all that must not be shared across: who we are, whom we expect, where they are, which address we come from
// (contract/ztunnel.md §6, contract/threats.md §5.3 (6)).
//
// A key's life: the first tunnel starts the one dial; everyone else who comes meanwhile waits for a place.
// When the dial succeeds all are woken and take places; who finds the connection full starts the next dial.
// When it fails everyone who waits gets its error, at once: nobody dials again on another's behalf, nobody
// stays behind. A full connection is used again as soon as a tunnel ends. An unused one is drained after
// `release_ms`.
#pragma once

#include <openssl/types.h>

#include <compare>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/identity.h"
#include "core/ip.h"
#include "core/result.h"
#include "core/scope.h"
#include "core/socket.h"
#include "core/spiffe.h"
#include "core/task.h"
#include "hbone/session.h"

namespace ambientd::hbone {

struct PoolKey {
  Identity source;
  std::vector<Identity> peers;  // any of them may answer
  SockAddr to;
  Ip source_ip;
  // Double HBONE: the connection runs inside a tunnel for `authority` through one of `carriers`, who is at
  // `to`.
  std::vector<Identity> carriers{};
  std::string authority{};

  auto operator<=>(const PoolKey&) const = default;
  bool operator==(const PoolKey&) const = default;
};

// A connection that is ready for HTTP/2.
struct Transport {
  std::unique_ptr<Stream> stream;
  const SSL* tls = nullptr;  // of the stream: who the peer is (core/tls.h)
};

// How one side makes its connections: from which network namespace, with which certificate.
class Dialer {
 public:
  virtual ~Dialer() = default;
  // Mutual TLS over TCP, unless it is another one's way. The pool bounds its time by `scope`.
  virtual Task<Result<Transport>> dial(PoolKey key, Scope& scope);
  virtual Result<Fd> socket(bool v6) = 0;
  // The current certificate of `identity`; waits for the first one, within `scope`.
  virtual Task<Result<WorkloadCertificatePtr>> certificate(Identity identity, Scope& scope) = 0;
};

struct PoolLimits {
  size_t max_streams = 100;  // tunnels a connection carries
  uint64_t connect_ms = 10'000;
  uint64_t release_ms = 300'000;
  Limits session;
};

// Writes a request's headers once there is a connection for it: very many may wait, and should hold little.
using WriteHeaders = std::function<Headers()>;

class Pool {
  struct Entry;

 public:
  explicit Pool(const PoolLimits& limits);
  ~Pool();
  Pool(const Pool&) = delete;

  // A caller's hold on the connections of a key. It goes before the pool does.
  class Claim {
   public:
    Claim(Claim&& other) noexcept : pool_(other.pool_), entry_(std::exchange(other.entry_, nullptr)) {}
    ~Claim();

   private:
    friend class Pool;
    Claim(Pool& pool, Entry& entry);
    Pool& pool_;
    Entry* entry_;
  };
  Claim claim(const PoolKey& key);

  // A caller that wants a tunnel: until take() is true, co_await it.
  class Place final : public Closable, public Listed<Place> {
   public:
    // `dialer` outlives the pool's connections.
    Place(Claim claim, Dialer& dialer, Scope& scope);
    // Sends the request if a connection has room for it; true when `out` is set. The answer is the caller's
    // to await. Errors: what the dial failed with, or what closes the scope.
    bool take(const WriteHeaders& request, Result<std::unique_ptr<Exchange>>& out);
    void close(Errc why) override;

    bool await_ready() const { return error_ != nullptr; }
    void await_suspend(std::coroutine_handle<> handle) { ready_.arm(handle); }
    void await_resume() const {}

   private:
    friend class Pool;
    Claim claim_;
    Dialer& dialer_;
    Scope& scope_;
    Waiter ready_{"pool place"};
    std::unique_ptr<const Error> error_;
  };

  // A certificate was replaced: connections whose peer it would no longer trust are drained.
  void reconsider(const WorkloadCertificate& now);
  // Connections of these keys are not used again: GOAWAY, and what is open finishes.
  void evict(const std::function<bool(const PoolKey&)>& stale);
  void revoke();  // revocation lists changed: connections to peers that are in them end now
  void drain();   // GOAWAY on all; nothing new is dialled
  void close();   // ends all connections and dials now; empty() follows
  bool empty() const {
    return entries_.empty();
  }  // and may be destroyed: no connection, no dial, nobody waits
  // Who answers on the connection of that tunnel, which the pool opened.
  std::optional<Identity> peer(const Exchange& tunnel) const;
  Task<void> until_empty();  // follows drain() when the last tunnel has ended
  size_t connections() const;

 private:
  struct Connection;
  Task<void> drive(Entry* entry, Dialer* dialer);
  Task<Result<std::unique_ptr<Connection>>> dial(Entry* entry, Dialer* dialer);
  Session* pick(Entry& entry) const;
  void wait_for_dial(Place& place);
  void settle(Entry& entry, const std::optional<Error>& error);
  void forget_if_unused(Entry& entry);

  PoolLimits limits_;
  std::map<PoolKey, std::unique_ptr<Entry>> entries_;
  Event emptied_{"pool empty"};
  bool draining_ = false;
};

}  // namespace ambientd::hbone
