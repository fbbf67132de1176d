// SPDX-License-Identifier: Apache-2.0
#include "test/support/l7_world.h"

#include <algorithm>

namespace ambientd::test {
namespace {

using config::AppProtocol;

config::Workload pod(const std::string& name, const std::string& sa, const std::string& ip,
                     std::map<std::string, config::PortMap> services) {
  config::Workload out;
  out.uid = "cluster1//Pod/default/" + name;
  out.name = name;
  out.ns = "default";
  out.addresses = {*Ip::parse(ip)};
  out.protocol = config::Tunnel::hbone;
  out.trust_domain = "cluster.local";
  out.service_account = sa;
  out.canonical_name = sa;
  out.workload_name = name;
  out.services = std::move(services);
  return out;
}

config::Service service(const std::string& name, const std::string& vip,
                        std::map<uint16_t, AppProtocol> ports) {
  config::Service out;
  out.name = name;
  out.ns = "default";
  out.hostname = name + ".default.svc.cluster.local";
  out.vips = {{"", *Ip::parse(vip)}};
  for (const auto& [port, protocol] : ports) out.ports[port] = {8080, protocol, ""};
  return out;
}

Task<void> run_tunnel(std::unique_ptr<TcpStream> stream, l7::Tunnel tunnel, World* world) {
  co_await l7::serve_stream(*stream, std::move(tunnel), world->worker);
  stream->close(Errc::closed);
  stream.reset();
  if (--world->tunnels == 0) world->idle.set();
}

}  // namespace

Task<Result<std::unique_ptr<Stream>>> FakeConnector::connect(l7::Destination to, Scope&) {
  dialled.push_back(to);
  if (until) co_await *until;
  if (refuse) co_return fail(*refuse);
  std::string address = to.address.str();
  if (std::ranges::find(refused_at, address) != refused_at.end())
    co_return fail(Errc::connect_refused, "connect " + address + ": Connection refused");
  StreamPair pair;
  Loop::current().spawn("fake upstream", serve(std::move(pair.far)));
  co_return std::move(pair.near);
}

config::Mesh small_mesh() {
  const std::string reviews = "default/reviews.default.svc.cluster.local";
  const std::string v2 = "default/reviews-v2.default.svc.cluster.local";
  const std::string gateway = "default/waypoint.default.svc.cluster.local";
  config::PortMap ports{{9080, 8080}, {80, 8080}, {81, 8080}, {82, 8080}, {90, 8080}, {53, 8080}};
  config::Mesh mesh;
  mesh.workloads = {
      pod("waypoint-1", "waypoint", "10.1.0.2", {{gateway, {{15008, 15008}}}}),
      pod("productpage-1", "productpage", "10.1.0.5", {}),
      pod("reviews-1", "reviews", "10.1.0.10", {{reviews, ports}}),
      pod("reviews-2", "reviews-v2", "10.1.0.11", {{v2, {{9080, 8080}}}}),
      pod("direct-1", "direct", "10.1.0.20", {}),
      pod("other-1", "other", "10.1.0.30", {}),
  };
  mesh.services = {
      service("reviews", "10.96.0.10",
              {{9080, AppProtocol::sniff},
               {80, AppProtocol::http1},
               {81, AppProtocol::http2},
               {82, AppProtocol::grpc},
               {90, AppProtocol::tcp},
               {53, AppProtocol::udp}}),
      service("reviews-v2", "10.96.0.11", {{9080, AppProtocol::sniff}}),
      service("waypoint", "10.96.0.2", {{15008, AppProtocol::tcp}}),
      service("elsewhere", "10.96.0.40", {{80, AppProtocol::http1}}),
  };
  config::GatewayAddress by_name{config::NamespacedHostname{"default", "waypoint.default.svc.cluster.local"}};
  config::GatewayAddress by_address{config::NetworkAddress{"", *Ip::parse("10.96.0.2")}};
  mesh.services[0].waypoint = by_name;
  mesh.services[1].waypoint = by_address;
  mesh.workloads[4].waypoint = by_name;
  return mesh;
}

l7::ViewPtr view_of(config::Mesh mesh) {
  auto view = std::make_shared<l7::View>();
  view->snapshot = config::Snapshot::build(std::move(mesh));
  view->routes = std::make_shared<const l7::RouteTables>(*view->snapshot);
  Result<l7::Self> self = l7::Self::find(*view->snapshot, "waypoint-1", "default", "waypoint");
  if (self) view->self = std::move(*self);
  return view;
}

World::World(config::Mesh mesh) {
  worker.view = view_of(std::move(mesh));
  worker.access_log = [this](std::string_view line) { lines.emplace_back(line); };
}

std::unique_ptr<TcpStream> World::open(std::string_view authority, std::string_view sa) {
  Result<l7::Target> target = l7::dispatch(*worker.view->snapshot, *worker.view->self, authority);
  if (!target) return nullptr;
  auto caller = std::make_shared<l7::Caller>();
  caller->identity = Identity{"cluster.local", "default", std::string(sa)};
  l7::Tunnel tunnel{
      .target = std::move(*target), .caller = caller, .peer = *SockAddr::parse("10.1.0.5:41000")};
  StreamPair pair;
  ++tunnels;
  idle.reset();
  Loop::current().spawn("tunnel", run_tunnel(std::move(pair.far), std::move(tunnel), this));
  return std::move(pair.near);
}

}  // namespace ambientd::test
