// SPDX-License-Identifier: Apache-2.0
#include "core/admin.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <ctime>

#include "core/deadline.h"
#include "core/gzip.h"
#include "core/log.h"
#include "core/relay.h"
#include "core/tcp_stream.h"
#include "core/text.h"

namespace ambientd {
namespace {

constexpr int kBacklog = 128;
constexpr uint64_t kLingerMs = 1000;      // for what is still on its way to us after a refusal
constexpr size_t kWorthZipping = 256;     // bytes
constexpr size_t kMaxLinger = 256 << 10;  // bytes

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// Query text: `+` is a space, %XX a byte; a broken escape stays as it is.
std::string decoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    bool escape =
        text[i] == '%' && i + 2 < text.size() && hex_value(text[i + 1]) >= 0 && hex_value(text[i + 2]) >= 0;
    if (escape) {
      out.push_back(static_cast<char>(hex_value(text[i + 1]) << 4 | hex_value(text[i + 2])));
      i += 2;
    } else {
      out.push_back(text[i] == '+' ? ' ' : text[i]);
    }
  }
  return out;
}

AdminRequest request_of(HttpMessage message) {
  std::string_view target = message.head.target;
  size_t query = std::min(target.find('?'), target.size());
  return {.method = std::move(message.head.method),
          .path = std::string(target.substr(0, query)),
          .query = std::string(target.substr(std::min(query + 1, target.size()))),
          .fields = std::move(message.head.fields),
          .body = std::move(message.body)};
}

bool wants_gzip(const AdminRequest& request, const AdminResponse& response) {
  std::optional<std::string_view> accepted = http1::find(request.fields, "accept-encoding");
  return accepted && response.body.size() >= kWorthZipping && accepts_gzip(*accepted);
}

// The whole answer on the wire. `version` is the request's.
std::string wire_of(AdminResponse response, const AdminRequest& request, bool keep_alive, int version) {
  http1::Head head{.status = response.status,
                   .reason = std::string(http1::reason_phrase(response.status)),
                   .version = version,
                   .keep_alive = keep_alive};
  head.fields.push_back({"date", http1::http_date(std::time(nullptr))});
  if (!response.body.empty()) head.fields.push_back({"content-type", response.content_type});
  if (wants_gzip(request, response)) {
    response.body = gzip(response.body);
    head.fields.push_back({"content-encoding", "gzip"});
  }
  head.framing = http1::Framing::length;
  head.length = response.body.size();
  Result<std::string> wire = http1::write_head(head);
  if (!wire) return "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
  if (request.method != "HEAD") wire->append(response.body);
  return *wire;
}

// What a request that could not be read is answered with; 0: nothing, nobody listens.
int refusal_of(const Error& error, const http1::Parser& parser) {
  if (error.code == Errc::bad_request) return parser.status();
  return error.code == Errc::overloaded ? 413 : 0;
}

Task<bool> write_within(Stream& stream, Scope& scope, std::string_view wire, uint64_t ms) {
  Deadline deadline(scope, ms, {Errc::timed_out, "admin: nobody reads the answer"});
  Status written = co_await write_all(stream, {reinterpret_cast<const uint8_t*>(wire.data()), wire.size()});
  co_return written.has_value();
}

// Whether a byte arrives in time; it stays in the stream.
Task<bool> wait_for_bytes(Stream& stream, Scope& scope, uint64_t ms) {
  Deadline deadline(scope, ms, {Errc::timed_out, "admin: idle"});
  for (;;) {
    Result<Chunk> chunk = co_await stream.read();
    if (!chunk || chunk->eof) co_return false;
    if (total(chunk->data) > 0) co_return true;
  }
}

// Closing with unread bytes would reset the connection and take the answer with it.
Task<void> linger(Stream& stream, Scope& scope) {
  Deadline deadline(scope, kLingerMs, {Errc::timed_out, "admin: lingering"});
  stream.finish();
  for (size_t seen = 0; seen < kMaxLinger;) {
    Result<Chunk> chunk = co_await stream.read();
    if (!chunk || chunk->eof) co_return;
    seen += total(chunk->data);
    stream.consume(total(chunk->data));
  }
}

}  // namespace

std::optional<std::string> AdminRequest::parameter(std::string_view name) const {
  for (std::string_view pair : split(query, '&')) {
    size_t equals = std::min(pair.find('='), pair.size());
    if (!pair.empty() && decoded(pair.substr(0, equals)) == name)
      return decoded(pair.substr(std::min(equals + 1, pair.size())));
  }
  return std::nullopt;
}

Admin::Admin(std::string name, AdminLimits limits) : name_(std::move(name)), limits_(limits) {}

Admin::~Admin() { assert(open_ == 0); }

void Admin::route(std::string path, Handler handler) { routes_[std::move(path)] = std::move(handler); }

Status Admin::listen(SockAddr at, uint32_t mark) {
  Result<Fd> socket = tcp_socket(at.ip.v6, mark);
  if (!socket) return std::unexpected(socket.error());
  if (Status listening = listen_on(socket->get(), at, kBacklog); !listening) return listening;
  acceptors_.push_back(
      std::make_unique<Acceptor>(std::move(*socket), [this](Fd fd) { accepted(std::move(fd)); }));
  return {};
}

std::vector<SockAddr> Admin::addresses() const {
  std::vector<SockAddr> out;
  for (const std::unique_ptr<Acceptor>& acceptor : acceptors_)
    if (std::optional<SockAddr> at = local_address(acceptor->fd())) out.push_back(*at);
  return out;
}

void Admin::accepted(Fd fd) {
  if (open_ >= limits_.connections) {
    log::warn("admin", "connection refused: too many are open", {{"port", name_}, {"open", open_}});
    return;
  }
  ++open_;
  idle_.reset();
  Loop::current().spawn(name_, serve(std::move(fd)));
}

Task<void> Admin::stop() {
  acceptors_.clear();
  connections_.each(
      [](Connection& connection) { connection.scope.close({Errc::closed, "admin: stopping"}); });
  if (open_ > 0) co_await idle_;
}

// One connection: requests one after another until the peer, an error or a deadline ends it.
Task<void> Admin::serve(Fd fd) {
  {
    TcpStream stream(std::move(fd));
    Connection connection;
    connection.scope.add(stream);
    connections_.push_back(connection);
    http1::Parser parser(http1::Role::request, {.section = limits_.header});
    bool more = co_await wait_for_bytes(stream, connection.scope, limits_.header_ms);
    while (more) {
      more = co_await serve_one(stream, connection.scope, parser);
      if (more) more = co_await wait_for_bytes(stream, connection.scope, limits_.idle_ms);
    }
    co_await linger(stream, connection.scope);
  }
  if (--open_ == 0) idle_.set();
}

// Whether another request may follow.
Task<bool> Admin::serve_one(Stream& stream, Scope& scope, http1::Parser& parser) {
  Result<HttpMessage> message;
  {
    Deadline deadline(scope, limits_.header_ms, {Errc::timed_out, "admin: slow request"});
    message = co_await read_message(stream, parser, limits_.body);
  }
  bool keep_alive = message && message->head.keep_alive;
  int version = message ? message->head.version : 11;
  int refusal = message ? 0 : refusal_of(message.error(), parser);
  if (!message && refusal == 0) co_return false;
  AdminRequest request = message ? request_of(std::move(*message)) : AdminRequest();
  AdminResponse response = refusal ? AdminResponse{.status = refusal} : answer(request);
  std::string wire = wire_of(std::move(response), request, keep_alive, version);
  bool written = co_await write_within(stream, scope, wire, limits_.write_ms);
  co_return written&& keep_alive;
}

AdminResponse Admin::answer(const AdminRequest& request) const {
  auto route = routes_.find(request.path);
  return route == routes_.end() ? AdminResponse{.status = 404} : route->second(request);
}

}  // namespace ambientd
