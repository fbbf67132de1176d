// SPDX-License-Identifier: Apache-2.0
#include "core/tls_stream.h"

#include <unistd.h>

#include <list>

#include "core/deadline.h"
#include "core/identity.h"
#include "core/relay.h"
#include "core/tcp_stream.h"
#include "core/tls.h"
#include "test/support/catch.h"
#include "test/support/loopback.h"
#include "test/support/mint.h"
#include "test/support/run.h"
#include "test/support/stream_pair.h"

using namespace ambientd;
using namespace ambientd::test;

namespace {

using Secured = Result<std::unique_ptr<TlsStream>>;

WorkloadCertificatePtr certificate_of(const LocalCa& ca, const std::string& sa) {
  Result<Issued> issued = ca.issue(workload(sa), std::chrono::hours(1), std::chrono::system_clock::now());
  REQUIRE(issued);
  Result<WorkloadCertificatePtr> made = make_workload_certificate(workload(sa), *issued);
  REQUIRE(made);
  return *made;
}

struct Keys {
  LocalCa ca = new_root();
  WorkloadCertificatePtr client = certificate_of(ca, "client"), server = certificate_of(ca, "server");
  SslPtr client_ssl() const {
    SslPtr ssl(SSL_new(client->client.get()));
    SSL_set_connect_state(ssl.get());
    expect_peers(ssl.get(), {workload("server")});
    return ssl;
  }
  SslPtr server_ssl() const {
    SslPtr ssl(SSL_new(server->server.get()));
    SSL_set_accept_state(ssl.get());
    return ssl;
  }
};

Task<void> shake(Fd fd, SslPtr ssl, Scope& scope, Secured& into) {
  into = co_await TlsStream::handshake(std::move(fd), std::move(ssl), scope);
}

// A client and a server that have shaken hands over loopback.
struct Pair {
  Task<void> connect(int send_buffer = 0) {
    Loopback sockets(send_buffer);
    Task<void> theirs = shake(std::move(sockets.far), keys.server_ssl(), scope, server_made);
    theirs.start();
    co_await shake(std::move(sockets.near), keys.client_ssl(), scope, client_made);
    co_await theirs;
    REQUIRE(client_made);
    REQUIRE(server_made);
    client = client_made->get();
    server = server_made->get();
  }
  Keys keys;
  Scope scope;
  Secured client_made, server_made;
  TlsStream* client = nullptr;
  TlsStream* server = nullptr;
};

// Megabytes both ways at once through buffers that take a few kilobytes at a time; `rekey` in records.
Task<void> bulk(int send_buffer, uint32_t rekey, int& updates) {
  Pair pair;
  co_await pair.connect(send_buffer);
  auto count_updates = [](int, int, int type, const void* data, size_t n, SSL*, void* counter) {
    bool update =
        type == SSL3_RT_HANDSHAKE && n > 0 && *static_cast<const uint8_t*>(data) == SSL3_MT_KEY_UPDATE;
    *static_cast<int*>(counter) += update;
  };
  for (TlsStream* each : {pair.client, pair.server}) {
    if (rekey > 0) each->rekey_after(rekey);
    SSL_set_msg_callback(each->ssl(), count_updates);
    SSL_set_msg_callback_arg(each->ssl(), &updates);
  }
  std::string up = pattern(3 << 20, 1), down = pattern(5 << 20, 2), got_up, got_down;
  std::optional<Error> why;
  std::list<Task<void>> all;
  all.push_back(send_and_finish(*pair.client, up));
  all.push_back(send_and_finish(*pair.server, down));
  all.push_back(read_all(*pair.server, got_up, &why));
  all.push_back(read_all(*pair.client, got_down, &why));
  for (Task<void>& each : all) each.start();
  for (Task<void>& each : all) co_await each;
  CHECK_FALSE(why);
  CHECK((got_up == up));
  CHECK((got_down == down));
}

Task<void> half_close() {
  Pair pair;
  co_await pair.connect();
  pair.client->finish();
  std::string nothing, answer;
  std::optional<Error> why;
  co_await read_all(*pair.server, nothing, &why);
  CHECK_FALSE(why);
  CHECK(nothing.empty());
  co_await send_and_finish(*pair.server, "late answer");
  co_await read_all(*pair.client, answer, &why);
  CHECK_FALSE(why);
  CHECK(answer == "late answer");
}

// A TCP end without close_notify is a cut, and so is a reset.
Task<void> cut(bool reset) {
  Pair pair;
  co_await pair.connect();
  Status sent = co_await send_text(*pair.client, "half of a mess");
  CHECK(sent);
  std::string got;
  co_await read_n(*pair.server, 14, got);
  if (reset) set_reset_on_close(pair.client->fd());
  pair.client_made->reset();
  std::optional<Error> why;
  co_await read_all(*pair.server, got, &why);
  CHECK(got == "half of a mess");
  REQUIRE(why);
  CHECK(why->code == (reset ? Errc::reset : Errc::eof));
  Status answered = co_await send_text(*pair.server, "too late");
  CHECK_FALSE(answered);
}

Task<void> silent_peer() {
  Keys keys;
  Loopback sockets;
  Scope scope;
  Deadline deadline(scope, 50, {Errc::timed_out, "handshake: timed out"});
  Secured made = co_await TlsStream::handshake(std::move(sockets.near), keys.client_ssl(), scope);
  REQUIRE_FALSE(made);
  CHECK(made.error().detail == "handshake: timed out");
}

Task<void> garbage(bool server) {
  Keys keys;
  Loopback sockets;
  Scope scope;
  std::string junk = "GET / HTTP/1.1\r\nHost: nobody\r\n\r\n";
  REQUIRE(write(sockets.near.get(), junk.data(), junk.size()) == static_cast<ssize_t>(junk.size()));
  SslPtr ssl = server ? keys.server_ssl() : keys.client_ssl();
  Secured made = co_await TlsStream::handshake(std::move(sockets.far), std::move(ssl), scope);
  REQUIRE_FALSE(made);
  CHECK(made.error().code == Errc::tls);
}

// What the peer sends with its last flight is there after the handshake, even while ours still waits to go
// out.
Task<void> early_bytes() {
  Pair pair;
  Loopback sockets, busy;
  Scope scope;
  Secured client;
  SslPtr ssl = pair.keys.client_ssl();
  BIO* memory = BIO_new(BIO_s_mem());
  Task<void> theirs = shake(std::move(sockets.far), pair.keys.server_ssl(), scope, pair.server_made);
  theirs.start();
  BIO* plain = BIO_new_socket(sockets.near.get(), BIO_NOCLOSE);
  SSL_set_bio(ssl.get(), plain, memory);  // our flights are collected, and sent as one with what follows
  bool shaken = false;
  while (!shaken) {
    shaken = SSL_do_handshake(ssl.get()) == 1;
    if (shaken) REQUIRE(SSL_write(ssl.get(), "early bird", 10) == 10);
    char* out = nullptr;
    long n = BIO_get_mem_data(memory, &out);
    if (n > 0) REQUIRE(write(sockets.near.get(), out, static_cast<size_t>(n)) == n);
    (void)BIO_reset(memory);
    co_await Sleep(1);
  }
  co_await theirs;
  REQUIRE(pair.server_made);
  // Somebody else uses the loop's buffer before the bytes are asked for.
  TcpStream other(std::move(busy.far));
  std::string noise(100'000, 'n'), heard;
  REQUIRE(write(busy.near.get(), noise.data(), noise.size()) > 0);
  co_await read_n(other, 50'000, heard);
  std::string got;
  co_await read_n(**pair.server_made, 10, got);
  CHECK(got == "early bird");
}

// A peer that asks for new keys again and again and reads none of our answers must not fill our memory.
Task<void> key_update_flood() {
  Pair pair;
  co_await pair.connect(4096);
  std::string got;
  std::optional<Error> why;
  Task<void> reading = read_all(*pair.server, got, &why);
  reading.start();
  for (int i = 0; i < 2'000'000 && !why; ++i) {
    if (SSL_key_update(pair.client->ssl(), SSL_KEY_UPDATE_REQUESTED) != 1) break;
    Status sent = co_await send_text(*pair.client, "x");
    if (!sent) break;
  }
  CHECK(why);
  pair.client->close(Errc::closed);
  co_await reading;
}

}  // namespace

TEST_CASE("megabytes go both ways unharmed through small buffers") {
  for (int send_buffer : {0, 4096, 64 << 10}) {
    int updates = 0;
    Loop loop;
    run(loop, bulk(send_buffer, 0, updates));
    CHECK(updates == 0);
  }
}
TEST_CASE("keys are renewed in midstream, both ways") {
  int updates = 0;
  Loop loop;
  run(loop, bulk(16 << 10, 20, updates));
  CHECK(updates >= 10);
}
TEST_CASE("one direction of a TLS stream may end before the other") {
  Loop loop;
  run(loop, half_close());
}
TEST_CASE("an end without close_notify is an error, not an end") {
  for (bool reset : {false, true}) {
    Loop loop;
    run(loop, cut(reset));
  }
}
TEST_CASE("a handshake ends with its scope") {
  Loop loop;
  run(loop, silent_peer());
}
TEST_CASE("a peer that speaks no TLS is refused") {
  for (bool server : {false, true}) {
    Loop loop;
    run(loop, garbage(server));
  }
}
TEST_CASE("bytes that came with the handshake are kept") {
  Loop loop;
  run(loop, early_bytes());
}
TEST_CASE("a peer that asks for keys and never reads them is given up") {
  Loop loop;
  run(loop, key_update_flood());
}
