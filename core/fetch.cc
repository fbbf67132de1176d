// SPDX-License-Identifier: Apache-2.0
#include "core/fetch.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <variant>

#include "core/certificate.h"
#include "core/deadline.h"
#include "core/http1.h"
#include "core/relay.h"
#include "core/resolve.h"
#include "core/socket.h"
#include "core/tcp_stream.h"
#include "core/tls_stream.h"

namespace ambientd {
namespace {

constexpr size_t kMostAddresses = 4;  // tried of a name, one after the other

// The server's certificate must be for `host`, under a root of this system (SSL_CERT_FILE counts). The roots
// are read for each connection: an operator may replace them.
Result<SslPtr> web_client(const std::string& host) {
  ERR_clear_error();
  SslContextPtr context(SSL_CTX_new(TLS_client_method()));
  if (!context || SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION) != 1 ||
      SSL_CTX_set_default_verify_paths(context.get()) != 1)
    return fail(Errc::tls, "setting up TLS with the system's roots: " + tls_error());
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_mode(context.get(), SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_ENABLE_PARTIAL_WRITE);
  SslPtr connection(SSL_new(context.get()));
  bool named = false;
  if (connection && Ip::parse(host)) {
    named = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(connection.get()), host.c_str()) == 1;
  } else if (connection) {
    named = SSL_set1_host(connection.get(), host.c_str()) == 1 &&
            SSL_set_tlsext_host_name(connection.get(), host.c_str()) == 1;
  }
  if (!named) return fail(Errc::tls, "setting up TLS: " + tls_error());
  SSL_set_connect_state(connection.get());
  return connection;
}

Task<Result<std::unique_ptr<Stream>>> open(Url url, Ip ip, FetchLimits limits, Scope& scope) {
  Result<Fd> socket = tcp_socket(ip.v6, limits.mark);
  if (!socket) co_return fail(std::move(socket.error()));
  Result<Fd> connected = co_await connect(std::move(*socket), {ip, url.port}, scope);
  if (!connected) co_return fail(std::move(connected.error()));
  if (!url.tls) {
    auto plain = std::make_unique<TcpStream>(std::move(*connected));
    co_return std::move(plain);
  }
  Result<SslPtr> ssl = web_client(url.host);
  if (!ssl) co_return fail(std::move(ssl.error()));
  Result<std::unique_ptr<TlsStream>> tls =
      co_await TlsStream::handshake(std::move(*connected), std::move(*ssl), scope);
  if (!tls) co_return fail(std::move(tls.error()));
  co_return std::move(*tls);
}

// The first address that can be connected to.
Task<Result<std::unique_ptr<Stream>>> open_any(Url url, FetchLimits limits, Scope& scope) {
  Result<std::vector<Ip>> found = co_await resolve(url.host, scope);
  if (!found) co_return fail(std::move(found.error()));
  if (!limits.own_host) std::erase_if(*found, [](const Ip& ip) { return !may_fetch_from(ip); });
  Error last{Errc::denied,
             "its address is one of this host or of its link, and nothing is fetched from those"};
  if (found->size() > kMostAddresses) found->resize(kMostAddresses);
  for (const Ip& ip : *found) {
    Result<std::unique_ptr<Stream>> stream = co_await open(url, ip, limits, scope);
    if (stream) co_return stream;
    last = std::move(stream.error());
    if (scope.closed()) break;
  }
  co_return fail(std::move(last));
}

// A response as it comes: the head judged, the body gathered.
class Answer {
 public:
  explicit Answer(size_t most) : most_(most) { parser_.expect("GET"); }

  bool complete() const { return complete_; }
  std::string take() { return std::move(body_); }

  Status feed(std::string_view input) {
    while (!complete_) {
      Result<http1::Event> event = parser_.next(input);
      if (!event) return fail(std::move(event.error()));
      if (std::holds_alternative<http1::NeedMore>(*event)) return {};
      Status taken = take(*event);
      if (!taken) return taken;
    }
    return {};
  }
  Status close() {
    Result<http1::Event> event = parser_.close();
    if (!event) return fail(std::move(event.error()));
    Status taken = take(*event);
    if (taken && !complete_) return fail(Errc::eof, "the answer ended early");
    return taken;
  }

 private:
  Status take(const http1::Event& event) {
    if (const auto* head = std::get_if<http1::Head>(&event)) {
      status_ = head->status;
      if (status_ >= 200 && status_ != 200)
        return fail(
            Errc::http_status,
            fmt::format("answered {}{}", status_, status_ / 100 == 3 ? " (redirects are not followed)" : ""));
    } else if (const auto* piece = std::get_if<http1::Body>(&event)) {
      if (piece->bytes.size() > most_ - body_.size())
        return fail(Errc::bad_request, fmt::format("answered with more than {} bytes", most_));
      body_ += piece->bytes;
    } else if (std::holds_alternative<http1::End>(event)) {
      complete_ = status_ == 200;
    }
    return {};
  }

  http1::Parser parser_{http1::Role::response};
  size_t most_;
  int status_ = 0;
  bool complete_ = false;
  std::string body_;
};

Task<Result<std::string>> receive(Stream& stream, size_t most) {
  Answer answer(most);
  while (!answer.complete()) {
    Result<Chunk> chunk = co_await stream.read();
    if (!chunk) co_return fail(std::move(chunk.error()));
    Status fed = chunk->eof ? answer.close() : Status();
    for (const iovec& piece : chunk->data)
      if (fed) fed = answer.feed({static_cast<const char*>(piece.iov_base), piece.iov_len});
    stream.consume(total(chunk->data));
    if (!fed) co_return fail(std::move(fed.error()));
  }
  co_return answer.take();
}

Task<Result<std::string>> get(Url url, FetchLimits limits, Scope& scope) {
  http1::Head head;
  head.method = "GET";
  head.target = url.path;
  head.fields = {{"host", url.authority()}, {"accept", "application/json"}, {"user-agent", "ambientd"}};
  head.keep_alive = false;
  Result<std::string> request = http1::write_head(head);
  if (!request) co_return fail(std::move(request.error()));
  Result<std::unique_ptr<Stream>> stream = co_await open_any(url, limits, scope);
  if (!stream) co_return fail(std::move(stream.error()));
  (*stream)->Closable::unlink();
  scope.add(**stream);
  Status sent =
      co_await write_all(**stream, {reinterpret_cast<const uint8_t*>(request->data()), request->size()});
  if (!sent) co_return fail(std::move(sent.error()));
  co_return co_await receive(**stream, limits.body);
}

}  // namespace

bool may_fetch_from(const Ip& ip) {
  if (ip.is_loopback() || ip.is_unspecified()) return false;
  const auto& b = ip.bytes;
  if (!ip.v6) return b[0] != 0 && !(b[0] == 169 && b[1] == 254) && b[0] < 224;
  static const Ip aws_metadata = *Ip::parse("fd00:ec2::254");
  return !(b[0] == 0xfe && (b[1] & 0xc0) == 0x80) && b[0] != 0xff && ip != aws_metadata;
}

Task<Result<std::string>> fetch(Url url, FetchLimits limits, Scope& scope) {
  InnerScope inner(scope);
  Deadline deadline(inner.scope, limits.timeout_ms,
                    {Errc::timed_out, fmt::format("no answer within {} ms", limits.timeout_ms)});
  Result<std::string> body = co_await get(url, limits, inner.scope);
  if (body) co_return body;
  Error error = inner.scope.explain(std::move(body.error()));
  co_return fail(error.code, fmt::format("GET {}: {}", url.str(), error.detail));
}

}  // namespace ambientd
