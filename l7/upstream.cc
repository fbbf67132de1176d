// SPDX-License-Identifier: Apache-2.0
#include "l7/upstream.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/deadline.h"

namespace ambientd::l7 {
namespace {

constexpr uint64_t kSweepMs = 5'000;

// Nothing may come on a connection nobody uses: whatever can be read there is its end.
bool is_dead(Stream& connection) {
  Stream::ReadAwaiter read(connection);
  return read.await_ready();
}

}  // namespace

// A request that waits for the dial in flight. Its client, or its time, may end the wait; the dial goes on.
struct Upstreams::Waiting final : Closable, Listed<Waiting> {
  void close(Errc) override { over.set(); }
  Event over{"http2 connection"};
};

struct Upstreams::Shared {
  void settle() {
    waiting.each([](Waiting& each) { each.over.set(); });
  }
  bool dialling = false;
  List<Waiting> waiting;       // for the dial in flight
  std::optional<Error> error;  // it ended with this
  std::vector<Http2Connection*> connections;
};

Upstreams::Upstreams(Connector& connector, const UpstreamLimits& limits)
    : connector_(connector), limits_(limits), sweep_timer_([this] { sweep(); }) {}

Upstreams::~Upstreams() = default;

size_t Upstreams::idle() const {
  size_t n = 0;
  for (const auto& [to, connections] : idle_) n += connections.size();
  return n;
}

Task<Result<Upstreams::Sent>> Upstreams::send(Destination to, Protocol protocol, const Request& request,
                                              bool fresh, Scope& scope, bool& dialled) {
  dialled = false;
  if (protocol == Protocol::http2) {
    Result<Sent> sent = co_await send_http2(std::move(to), request, scope, dialled);
    co_return sent;
  }
  Result<Sent> sent = co_await send_http1(std::move(to), request, fresh, scope, dialled);
  co_return sent;
}

// ---- HTTP/1.1: kept ----

Task<Result<Upstreams::Sent>> Upstreams::send_http1(Destination to, const Request& request, bool fresh,
                                                    Scope& scope, bool& dialled) {
  std::unique_ptr<Http1Connection> connection = fresh ? nullptr : take(to);
  if (!connection) {
    Result<std::unique_ptr<Stream>> stream = co_await connector_.connect(to, scope);
    if (!stream) co_return fail(std::move(stream.error()));
    connection = std::make_unique<Http1Connection>(std::move(*stream));
  }
  dialled = true;
  scope.add(connection->stream);
  auto exchange = std::make_unique<Http1Exchange>(
      std::move(connection),
      [this, to](std::unique_ptr<Http1Connection> back) { give_back(to, std::move(back)); });
  Status sent = co_await exchange->send(request);
  if (!sent && sent.error().code == Errc::invalid) co_return fail(std::move(sent.error()));
  // A connection that failed now is found out by who reads the response.
  const Http1Exchange* http1 = exchange.get();
  co_return Sent{std::move(exchange), http1};
}

std::unique_ptr<Http1Connection> Upstreams::take(const Destination& to) {
  auto found = idle_.find(to);
  if (found == idle_.end()) return nullptr;
  std::unique_ptr<Http1Connection> connection;
  while (!connection && !found->second.empty()) {
    connection = std::move(found->second.back());
    found->second.pop_back();
    if (is_dead(*connection->transport)) connection.reset();
  }
  if (found->second.empty()) idle_.erase(found);
  return connection;
}

void Upstreams::give_back(const Destination& to, std::unique_ptr<Http1Connection> connection) {
  connection->stream.Closable::unlink();
  std::vector<std::unique_ptr<Http1Connection>>& kept = idle_[to];
  bool keep = !draining_ && kept.size() < limits_.idle_connections && !is_dead(*connection->transport);
  if (keep) {
    connection->idle_since_ms = Loop::current().now_ms();
    kept.push_back(std::move(connection));
    if (!sweep_timer_.set()) Loop::current().set_timer(sweep_timer_, kSweepMs);
  }
  if (kept.empty()) idle_.erase(to);
}

void Upstreams::sweep() {
  uint64_t now = Loop::current().now_ms();
  for (auto at = idle_.begin(); at != idle_.end();) {
    std::erase_if(at->second, [&](const std::unique_ptr<Http1Connection>& each) {
      return now - each->idle_since_ms >= limits_.idle_ms || is_dead(*each->transport);
    });
    at = at->second.empty() ? idle_.erase(at) : std::next(at);
  }
  if (!idle_.empty()) Loop::current().set_timer(sweep_timer_, kSweepMs);
}

// ---- HTTP/2: shared ----

hbone::Session* Upstreams::pick(Shared& shared, bool upgrades) const {
  for (Http2Connection* each : shared.connections) {
    hbone::Session& session = each->session;
    bool fits = session.usable() && session.exchanges() < session.peer_max_streams();
    if (fits && (!upgrades || session.peer_allows_extended_connect())) return &session;
  }
  return nullptr;
}

Task<Result<Upstreams::Sent>> Upstreams::send_http2(Destination to, const Request& request, Scope& scope,
                                                    bool& dialled) {
  for (;;) {
    if (scope.closed()) co_return fail(*scope.why());
    std::unique_ptr<Shared>& slot = shared_[to];
    if (!slot) slot = std::make_unique<Shared>();
    Shared& shared = *slot;
    if (hbone::Session* session = pick(shared, false)) {
      dialled = true;
      Result<std::unique_ptr<ClientExchange>> exchange = Http2Exchange::send(*session, request);
      if (!exchange && !session->usable()) continue;
      if (!exchange) co_return fail(std::move(exchange.error()));
      scope.add((*exchange)->stream());
      co_return Sent{std::move(*exchange)};
    }
    if (draining_) co_return fail(Errc::draining, "the waypoint is going away");
    if (!std::exchange(shared.dialling, true))
      Loop::current().spawn("http2 upstream " + to.address.str(), drive(to, &shared));
    if (shared.dialling) {
      Waiting waiting;
      shared.waiting.push_back(waiting);
      scope.add(waiting);
      co_await waiting.over;
    }
    if (scope.closed()) co_return fail(*scope.why());
    auto again = shared_.find(to);
    if (again != shared_.end() && again->second->error) co_return fail(*again->second->error);
  }
}

Task<void> Upstreams::drive(Destination to, Shared* shared) {
  Scope scope;
  Result<std::unique_ptr<Stream>> stream = co_await connector_.connect(to, scope);
  shared->dialling = false;
  shared->error.reset();
  if (!stream) shared->error = stream.error();
  if (!stream) {
    shared->settle();
    co_await Loop::current().yield();  // who waited reads the error
    forget_if_unused(to, *shared);
    co_return;
  }
  (*stream)->Closable::unlink();
  Http2Connection connection(std::move(*stream));
  shared->connections.push_back(&connection);
  shared->settle();
  Timer unused([this, &connection, &unused] {
    if (connection.session.exchanges() == 0) {
      connection.session.drain();
    } else {
      Loop::current().set_timer(unused, limits_.idle_ms);
    }
  });
  Loop::current().set_timer(unused, limits_.idle_ms);
  Status ended = co_await connection.session.run();
  std::erase(shared->connections, &connection);
  forget_if_unused(to, *shared);
}

void Upstreams::forget_if_unused(const Destination& to, const Shared& shared) {
  if (!shared.dialling && shared.connections.empty()) shared_.erase(to);
}

void Upstreams::drain() {
  draining_ = true;
  idle_.clear();
  for (auto& [to, shared] : shared_) {
    for (Http2Connection* each : shared->connections) each->session.drain();
  }
}

}  // namespace ambientd::l7
