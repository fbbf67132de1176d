// SPDX-License-Identifier: Apache-2.0
#include "core/tls.h"

#include <fmt/format.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include "core/local_ca.h"
#include "core/tls_stream.h"
#include "test/bench/micro/drive.h"
#include "test/bench/micro/micro.h"

namespace ambientd::bench {
namespace {

using Made = Result<std::unique_ptr<TlsStream>>;

Identity account(std::string sa) { return {"cluster.local", "demo", std::move(sa)}; }

struct Keys {
  LocalCa ca = must(make_root("bench root", std::chrono::system_clock::now()));
  WorkloadCertificatePtr client = leaf("client"), server = leaf("server");

  WorkloadCertificatePtr leaf(const std::string& sa) const {
    Issued issued = must(ca.issue(account(sa), std::chrono::hours(1), std::chrono::system_clock::now()));
    return must(make_workload_certificate(account(sa), issued));
  }
  SslPtr client_ssl() const {
    SslPtr ssl(SSL_new(client->client.get()));
    SSL_set_connect_state(ssl.get());
    expect_peers(ssl.get(), {account("server")});
    return ssl;
  }
  SslPtr server_ssl() const {
    SslPtr ssl(SSL_new(server->server.get()));
    SSL_set_accept_state(ssl.get());
    return ssl;
  }
};

Task<void> shake(Fd fd, SslPtr ssl, Scope& scope, Made& into) {
  into = co_await TlsStream::handshake(std::move(fd), std::move(ssl), scope);
}

struct Pair {
  Task<void> connect() {
    int fds[2] = {-1, -1};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0) std::abort();
    Task<void> theirs = shake(Fd(fds[1]), keys.server_ssl(), scope, far);
    theirs.start();
    co_await shake(Fd(fds[0]), keys.client_ssl(), scope, near);
    co_await theirs;
    if (!near || !far) std::abort();
  }
  Keys keys;
  Scope scope;
  Made near, far;
};

}  // namespace

void tls(Bench& bench) {
  Loop loop;
  Pair pair;
  drive(loop, pair.connect());
  for (size_t size : {200, 16 << 10, 256 << 10}) {
    std::string what = size < 1024 ? fmt::format("{} B", size) : fmt::format("{} KB", size >> 10);
    bench.measure({.name = fmt::format("tls: {} encrypted, sent, decrypted", what), .bytes = size},
                  [&](uint64_t n) { drive(loop, one_way(**pair.near, **pair.far, size, n)); });
  }
  bench.measure({.name = "tls: 200 B there and back", .most = 0},
                [&](uint64_t n) { drive(loop, back_and_forth(**pair.near, **pair.far, 200, n)); });
}

}  // namespace ambientd::bench
