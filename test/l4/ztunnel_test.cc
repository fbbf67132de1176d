// SPDX-License-Identifier: Apache-2.0
// The whole proxy with several workers on real interception, in a network namespace of its own (root needed).
#include "l4/ztunnel.h"

#include <sched.h>

#include <cstdlib>
#include <thread>

#include "core/relay.h"
#include "core/tcp_stream.h"
#include "l4/redirect.h"
#include "test/l4/mesh.h"
#include "test/l4/two_ztunnels.h"
#include "test/support/catch.h"
#include "test/support/run.h"
#include "test/support/stream_pair.h"

using namespace ambientd;
using namespace ambientd::l4;
using namespace ambientd::l4::test;
using ambientd::l4::test::service;

namespace {

constexpr const char* kPod = "10.0.0.1";
const SockAddr kVip = *SockAddr::parse("10.1.0.2:80");

// Runs `body` on a thread with a network namespace of its own: an address, a default route, the capture
// rules.
void enter_namespace() {
  INFO("this test makes a network namespace: run it as root");
  REQUIRE(unshare(CLONE_NEWNET) == 0);
  REQUIRE(std::system("ip link set lo up && ip link add d0 type veth peer name d1 && ip link set d1 up && "
                      "ip addr add 10.0.0.1/24 dev d0 && ip link set d0 up && ip route add default dev d0") ==
          0);
  Status applied = redirect::apply({});
  INFO((applied ? "" : applied.error().detail));
  REQUIRE(applied);
}

void in_namespace(void (*body)()) {
  std::exception_ptr failed;
  std::thread thread([&failed, body] {
    try {
      enter_namespace();
      body();
    } catch (...) {  // a REQUIRE that failed
      failed = std::current_exception();
    }
  });
  thread.join();
  if (failed) std::rethrow_exception(failed);
}

config::SnapshotPtr mesh(bool allowed = true) {
  config::Mesh out;
  out.workloads = {behind(workload("echo", kPod), "echo")};
  out.services = {service("echo", "10.1.0.2")};
  if (!allowed) {
    policy::Authorization deny{.name = "deny", .ns = "default", .scope = policy::Authorization::Scope::ns};
    deny.action = policy::Authorization::Action::deny;
    deny.rules = {{}};
    out.policies = {deny};
  }
  return config::Snapshot::build(std::move(out));
}

Settings one_pod(size_t connections = 100'000) {
  Settings out;
  out.pod_connections = connections;
  out.pods = {{"default", "echo-0", "echo", ""}};
  return out;
}

struct Node {
  LocalCa ca = ambientd::test::new_root();
  Loop loop;
  Workers workers{3};
  Certificates certificates{std::make_unique<TestSigner>(ca)};
  metrics::Registry registry{4};
  std::unique_ptr<Ztunnel> ztunnel;
  std::vector<std::string> lines;
  std::mutex mutex;
  explicit Node(Settings settings = one_pod())
      : ztunnel(std::make_unique<Ztunnel>(workers, certificates, registry, std::move(settings))) {
    log::redirect_to([this](std::string_view line) {
      std::lock_guard lock(mutex);
      lines.emplace_back(line);
    });
  }
  ~Node() {
    ztunnel.reset();
    log::redirect_to(nullptr);
  }
  size_t count(const std::string& part) {
    std::lock_guard lock(mutex);
    return static_cast<size_t>(
        std::ranges::count_if(lines, [&](const std::string& line) { return line.find(part) != line.npos; }));
  }
};

Task<void> echo(Fd fd) {
  TcpStream stream(std::move(fd));
  uint64_t bytes = 0;
  Status echoed = co_await pump(stream, stream, bytes);
}

// Echoes on 10.0.0.1:8080, with sockets that are not ours: without the mark.
class App {
 public:
  App() {
    Result<Fd> fd = tcp_socket(false, 0);
    REQUIRE(fd);
    REQUIRE(listen_on(fd->get(), {*Ip::parse(kPod), 8080}, 256));
    acceptor_ = std::make_unique<Acceptor>(
        std::move(*fd), [](Fd accepted) { Loop::current().spawn("echo", echo(std::move(accepted))); });
  }

 private:
  std::unique_ptr<Acceptor> acceptor_;
};

Task<Result<Fd>> call(Scope& scope) {
  Result<Fd> fd = tcp_socket(false, 0);
  if (!fd) co_return fd;
  co_return co_await connect(std::move(*fd), kVip, scope);
}

struct Countdown {
  int left;
};

Task<void> one_request(size_t size, Countdown& calls) {
  Scope scope;
  Result<Fd> fd = co_await call(scope);
  REQUIRE(fd);
  TcpStream app(std::move(*fd));
  std::string text(size, 'x'), answer;
  Task<void> sends = ambientd::test::send_and_finish(app, text);
  sends.start();
  co_await ambientd::test::read_all(app, answer);
  co_await sends;
  CHECK(answer == text);
  --calls.left;
}

Task<void> many_requests(Node& node) {
  App app;
  constexpr int kCalls = 60;
  Countdown calls{kCalls};
  for (int i = 0; i < kCalls; ++i)
    node.loop.spawn("request", one_request(static_cast<size_t>(i) * 4096 + 1, calls));
  while (calls.left > 0) co_await Sleep(2);
  while (node.count("connection complete") < 2 * kCalls) co_await Sleep(2);
  CHECK(node.count("error=") == 0);
}

struct Open {
  std::unique_ptr<TcpStream> app;
  std::string answer;
};

Task<void> open_one(Open& open) {
  Scope scope;
  Result<Fd> fd = co_await call(scope);
  REQUIRE(fd);
  open.app = std::make_unique<TcpStream>(std::move(*fd));
  Status sent = co_await ambientd::test::send_text(*open.app, "hello");
  REQUIRE(sent);
  co_await ambientd::test::read_n(*open.app, 5, open.answer);
  CHECK(open.answer == "hello");
}

Task<void> policy_arrives(Node& node) {
  App app;
  Open open;
  co_await open_one(open);
  std::string dump = config_dump(nullptr, {}, node.ztunnel->views(), {});
  CHECK(dump.find("\"originalDst\": \"10.1.0.2:80\"") != dump.npos);
  CHECK(dump.find("\"actualDst\": \"10.0.0.1:8080\"") != dump.npos);
  node.ztunnel->publish(mesh(false));
  std::optional<Error> why;
  co_await ambientd::test::read_all(*open.app, open.answer, &why);
  CHECK(why);
  while (node.count("connection complete") < 2) co_await Sleep(2);
  CHECK(node.count("error=\"connection closed due to policy change\"") == 1);
}

// One open call has three seats here: what the app called, the HBONE connection and what the app answers.
Task<void> too_many(Node& node) {
  App app;
  Open open;
  co_await open_one(open);
  for (int i = 0; i < 3; ++i) {
    Scope scope;
    Result<Fd> fd = co_await call(scope);
    REQUIRE(fd);
    TcpStream refused(std::move(*fd));
    std::string nothing;
    co_await ambientd::test::read_all(refused, nothing);
    CHECK(nothing.empty());
  }
  CHECK(node.count("connections are refused: the pod has as many as it may") == 1);
  co_await ambientd::test::send_and_finish(*open.app, "more");
  std::string rest;
  co_await ambientd::test::read_all(*open.app, rest);
  CHECK(rest == "more");
  while (node.count("connection complete") < 2) co_await Sleep(2);
  Countdown calls{1};
  co_await one_request(100, calls);
}

Task<void> drained(Node& node, std::chrono::milliseconds deadline, bool finishes) {
  App app;
  Open open;
  co_await open_one(open);
  bool done = false;
  node.ztunnel->drain(deadline, [&done] { done = true; });
  Scope scope;
  Result<Fd> late = co_await call(scope);
  REQUIRE_FALSE(late);
  CHECK(late.error().code == Errc::connect_refused);
  CHECK_FALSE(done);
  if (finishes) co_await ambientd::test::send_and_finish(*open.app, "more");
  std::string rest;
  std::optional<Error> why;
  co_await ambientd::test::read_all(*open.app, rest, &why);
  CHECK(rest == (finishes ? "more" : ""));
  CHECK(why.has_value() == !finishes);
  while (!done) co_await Sleep(2);
  bool cut = node.count("error=\"connection closed due to connection drain\"") > 0;
  CHECK(cut == !finishes);
}

void start(Node& node) {
  CHECK(node.ztunnel->pending() == std::vector<std::string>{"proxy", "state manager"});
  Status started = node.ztunnel->start();
  INFO((started ? "" : started.error().detail));
  REQUIRE(started);
  node.ztunnel->publish(mesh());
  CHECK(node.ztunnel->pending().empty());
}

}  // namespace

TEST_CASE("captured calls cross the whole proxy, whichever worker carries them") {
  in_namespace([] {
    Node node;
    start(node);
    ambientd::test::run(node.loop, many_requests(node));
  });
}

TEST_CASE("connections are in the dump, and end when a policy forbids them") {
  in_namespace([] {
    Node node;
    start(node);
    ambientd::test::run(node.loop, policy_arrives(node));
  });
}

TEST_CASE(
    "a pod that has as many connections as it may gets no more, and is served again when some have ended") {
  in_namespace([] {
    Node node(one_pod(3));
    start(node);
    ambientd::test::run(node.loop, too_many(node));
  });
}

TEST_CASE("a draining proxy refuses new calls and lets open ones finish") {
  in_namespace([] {
    Node node;
    start(node);
    ambientd::test::run(node.loop, drained(node, std::chrono::seconds(15), true));
  });
}

TEST_CASE("a draining proxy cuts what has not finished at the deadline") {
  in_namespace([] {
    Node node;
    start(node);
    ambientd::test::run(node.loop, drained(node, std::chrono::milliseconds(50), false));
  });
}

TEST_CASE("a port that is taken is a start-up failure with the pod and the port") {
  in_namespace([] {
    Node node;
    Ztunnel first(node.workers, node.certificates, node.registry, one_pod());
    REQUIRE(first.start());
    Status second = node.ztunnel->start();
    REQUIRE_FALSE(second);
    CHECK(second.error().detail.starts_with("pod default/echo-0: listen on [::]:15008 (is another ambientd"));
  });
}

TEST_CASE("a ztunnel without pods says how to name one") {
  Node node;
  Ztunnel none(node.workers, node.certificates, node.registry, Settings());
  Status started = none.start();
  REQUIRE_FALSE(started);
  CHECK(started.error().detail.find("--pod namespace/name/service-account=") != std::string::npos);
}
