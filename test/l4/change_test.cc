// SPDX-License-Identifier: Apache-2.0
// What a new state of the mesh, or of trust, does to connections that are open.
#include "test/l4/calls.h"
#include "test/support/run.h"

using namespace ambientd;
using namespace ambientd::l4;
using namespace ambientd::l4::test;

namespace {

using Edit = std::function<void(config::Mesh&)>;

Task<void> mesh_change(TwoZtunnels& both, Edit edit, std::string error, std::string flag) {
  Open open;
  co_await open_call(both, open);
  both.publish();  // nothing changed: nothing happens
  CHECK_FALSE(both.server->live.empty());
  edit(both.mesh);
  both.publish();
  std::string rest;
  bool clean = co_await read_all(open.near, rest);
  CHECK_FALSE(clean);
  co_await until_idle(both);
  CHECK(has(both.ended("inbound"), "error=\"" + error + "\""));
  if (!flag.empty())
    CHECK(has(both.registry.expose(metrics::Format::openmetrics), "response_flags=\"" + flag + "\""));
  co_await shut_down(both);
}

// Connections that were made under another mesh are not used for later calls; what is open on them finishes.
Task<void> evicted(TwoZtunnels& both, Edit edit) {
  hbone::Pool& pool = both.client->pods[0]->pool;
  co_await one_call(both, "before");
  both.publish();
  co_await one_call(both, "nothing changed");
  CHECK(pool.connections() == 1);
  Open open;
  co_await open_call(both, open);
  edit(both.mesh);
  both.publish();
  Listener app(TwoZtunnels::kServer, serve_echo);
  std::string answer, rest;
  bool clean = false;
  co_await request(both, both.call_to(app.at.port, kFrom), "after", answer, clean);
  CHECK(answer == "after");
  CHECK(pool.connections() == 2);
  co_await say(open.near, "still here");
  clean = co_await read_all(open.near, rest);
  CHECK(clean);
  CHECK(rest == "still here");
  while (pool.connections() > 1) co_await Sleep(1);
  co_await shut_down(both);
}

// Whose identity changed is not served by connections that were made to, or by, who it was.
Task<void> own_identity_changes(TwoZtunnels& both) {
  co_await one_call(both, "before");
  CHECK_FALSE(both.server->incoming.empty());
  both.mesh.workloads[1].trust_domain = "new.local";
  both.publish();
  while (!both.server->incoming.empty()) co_await Sleep(1);
  while (!both.client->pods[0]->pool.empty()) co_await Sleep(1);
  co_await shut_down(both);
}

Task<void> decisions_logged(TwoZtunnels& both) {
  both.settings.log_authorization = true;
  both.mesh.policies = {named("allow", policy::Authorization::Action::allow, false),
                        named("would-deny", policy::Authorization::Action::deny, true)};
  both.publish();
  co_await one_call(both, "x");
  const std::string kTarget = "\tinfo\tpolicy:proxy{wl=default/echo-0}\t";
  std::string lines;
  for (const std::string& line : both.log)
    if (has(line, kTarget)) lines += line.substr(line.find(kTarget) + kTarget.size()) + "\n";
  INFO(lines);
  std::string who =
      " src.addr=127.0.0.1 src.identity=\"spiffe://cluster.local/ns/default/sa/client\" dst.addr=127.0.0.2:";
  CHECK(has(lines, "dry-run: deny policy match\tpolicy=default/would-deny" + who));
  CHECK(has(lines, "\nallow policy match\tpolicy=default/allow" + who));
  co_await shut_down(both);
}

// A list names one end's certificate; the other end, which looks at it, cuts the connection.
Task<void> revoked_while_open(TwoZtunnels& both, std::string sa, std::string direction,
                              std::string reporter) {
  Listener app(TwoZtunnels::kServer, serve_echo);
  Wire wire = tcp_pair();
  TcpStream near(std::move(wire.near));
  Captured call = both.call_to(app.at.port, kFrom);
  Loop::current().spawn("call", carry_call(both.client->pods[0].get(), std::move(wire.far), std::move(call)));
  while (both.server->live.empty()) co_await Sleep(1);
  both.client->revoke();
  both.server->revoke();
  CHECK_FALSE(both.server->live.empty());  // nobody is revoked yet
  both.revoke(sa);
  (direction == "inbound" ? both.server : both.client)->revoke();
  std::string rest;
  co_await read_all(near, rest);
  co_await until_idle(both);
  INFO(both.ended(direction));
  CHECK(has(both.ended(direction), "error=\"connection closed: peer certificate revoked by CRL\""));
  std::string text = both.registry.expose(metrics::Format::openmetrics);
  CHECK(has(text, "response_flags=\"CERT_REVOKED\""));
  CHECK(has(text, "istio_crl_policy_rejections_total{reporter=\"" + reporter + "\"} 1"));
  co_await shut_down(both);
}

}  // namespace

TEST_CASE("a policy that comes later closes connections it denies") {
  Loop loop;
  TwoZtunnels both;
  auto edit = [](config::Mesh& mesh) { mesh.policies.push_back(deny_all()); };
  ambientd::test::run(loop, mesh_change(both, edit, "connection closed due to policy change", "DENY"));
}

TEST_CASE("a policy that a workload names from now on closes connections it denies") {
  Loop loop;
  TwoZtunnels both;
  both.mesh.policies = {deny_all()};
  both.mesh.policies[0].scope = policy::Authorization::Scope::workload_selector;
  both.publish();
  auto edit = [](config::Mesh& mesh) { mesh.workloads[1].authorization_policies = {"default/deny"}; };
  ambientd::test::run(loop, mesh_change(both, edit, "connection closed due to policy change", "DENY"));
}

TEST_CASE("a policy that a workload names from now on and nobody has closes its connections") {
  Loop loop;
  TwoZtunnels both;
  auto edit = [](config::Mesh& mesh) { mesh.workloads[1].authorization_policies = {"default/gone"}; };
  ambientd::test::run(loop, mesh_change(both, edit, "connection closed due to policy change", "DENY"));
}

TEST_CASE("a pod that leaves the mesh has its inbound connections cut") {
  Loop loop;
  TwoZtunnels both;
  auto edit = [](config::Mesh& mesh) { mesh.workloads.pop_back(); };
  ambientd::test::run(loop, mesh_change(both, edit, "connection closed due to connection drain", ""));
}

TEST_CASE("connections to an address that another pod has now are not used again") {
  Loop loop;
  TwoZtunnels both;
  ambientd::test::run(loop, evicted(both, [](config::Mesh& mesh) { mesh.workloads[1].uid = "another"; }));
}

TEST_CASE("a pod of another identity drains the connections it had") {
  Loop loop;
  TwoZtunnels both;
  ambientd::test::run(loop, own_identity_changes(both));
}

TEST_CASE("decisions and what dry-run policies would have said are logged") {
  Loop loop;
  TwoZtunnels both;
  ambientd::test::run(loop, decisions_logged(both));
}

TEST_CASE("a connection whose peer is revoked is cut, by the client") {
  Loop loop;
  TwoZtunnels both;
  ambientd::test::run(loop, revoked_while_open(both, "echo", "outbound", "source"));
}

TEST_CASE("a connection whose peer is revoked is cut, by the server") {
  Loop loop;
  TwoZtunnels both;
  ambientd::test::run(loop, revoked_while_open(both, "client", "inbound", "destination"));
}

TEST_CASE("a peer that is revoked gets no connection") {
  Loop loop;
  TwoZtunnels both;
  both.certificates.get(ambientd::test::workload("echo"), [](Result<WorkloadCertificatePtr>) {});
  both.revoke("echo");
  ambientd::test::run(loop, refused(both, both.call_to(8080, kFrom), "invalid peer certificate: revoked",
                                    "certificate revoked"));
}
