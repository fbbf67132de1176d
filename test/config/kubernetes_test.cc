// SPDX-License-Identifier: Apache-2.0
// Pods, services and what belongs to them, beyond what the golden fixture shows (contract/kubernetes.md
// §1-§5).
#include "test/config/given.h"

namespace ambientd::config {
namespace {

std::string object(std::string_view api, std::string_view kind, std::string_view rest) {
  return fmt::format("---\n{{apiVersion: {}, kind: {}, {}}}\n", api, kind, rest);
}

std::string pod_with(std::string_view metadata, std::string_view spec = "",
                     std::string_view status = "podIP: 10.0.0.1") {
  return object(
      "v1", "Pod",
      fmt::format("metadata: {{namespace: demo, {}}}, spec: {{{}}}, status: {{{}}}", metadata, spec, status));
}

Workload only_workload(std::string_view text) {
  Mesh mesh = mesh_of(text);
  REQUIRE(mesh.workloads.size() == 1);
  return mesh.workloads[0];
}

Service service_named(const Mesh& mesh, std::string_view hostname, std::string_view ns = "demo") {
  for (const Service& service : mesh.services)
    if (service.hostname == hostname && service.ns == ns) return service;
  FAIL("no service " << ns << "/" << hostname);
  return {};
}

}  // namespace

TEST_CASE("a pod is called after what made it") {
  struct Case {
    const char* owner;
    const char* labels;
    const char* wanted;
  };
  const Case cases[] = {
      {"{kind: ReplicaSet, name: web-5f, controller: true}", "pod-template-hash: 5f", "web"},
      {"{kind: ReplicaSet, name: web-5f, controller: true}", "", "web-5f"},
      {"{kind: ReplicaSet, name: web-7a, controller: true}", "rollouts-pod-template-hash: 7a", "web"},
      {"{kind: Job, name: nightly-29000000, controller: true}", "", "nightly"},
      {"{kind: Job, name: once-123, controller: true}", "", "once-123"},
      {"{kind: ReplicationController, name: x-1, controller: true}", "deploymentconfig: x", "x"},
      {"{kind: StatefulSet, name: db, controller: true}", "", "db"},
      {"{kind: StatefulSet, name: db}", "", "p"},
      {"{kind: StatefulSet, name: db, controller: true}", "service.istio.io/workload-name: said", "said"},
  };
  for (const Case& c : cases) {
    INFO(c.owner << c.labels);
    Workload made = only_workload(pod_with(
        fmt::format("name: p, generateName: p-, ownerReferences: [{}], labels: {{{}}}", c.owner, c.labels)));
    CHECK(made.workload_name == c.wanted);
    CHECK(made.canonical_name == c.wanted);
  }
}

TEST_CASE("a pod is healthy when it is Ready, or says nothing, and is not going away") {
  auto status = [](std::string_view conditions, std::string_view meta = "name: p") {
    return only_workload(pod_with(meta, "", fmt::format("podIP: 10.0.0.1, conditions: [{}]", conditions)))
        .status;
  };
  CHECK(status("") == Health::healthy);
  CHECK(status("{type: Ready, status: 'True'}") == Health::healthy);
  CHECK(status("{type: Ready, status: 'False'}") == Health::unhealthy);
  CHECK(status("{type: Initialized, status: 'True'}") == Health::unhealthy);
  CHECK(status("", "name: p, deletionTimestamp: '2024-01-01T00:00:00Z'") == Health::unhealthy);
}

TEST_CASE("finished pods and pods without an address are no workloads") {
  CHECK(mesh_of(pod_with("name: p", "", "podIP: 10.0.0.1, phase: Succeeded")).workloads.empty());
  CHECK(mesh_of(pod_with("name: p", "", "podIP: 10.0.0.1, phase: Failed")).workloads.empty());
  CHECK(mesh_of(pod_with("name: p", "", "phase: Pending")).workloads.empty());
  CHECK(mesh_of(pod_with("name: p", "", "podIP: 10.0.0.1, phase: Pending")).workloads.size() == 1);
}

TEST_CASE("a pod takes HBONE by annotation, or natively by label") {
  CHECK(only_workload(pod_with("name: p")).protocol == Tunnel::tcp);
  CHECK(only_workload(pod_with("name: p, annotations: {ambient.istio.io/redirection: pending}")).protocol ==
        Tunnel::tcp);
  Workload native = only_workload(pod_with("name: p, labels: {networking.istio.io/tunnel: 'x,http'}"));
  CHECK(native.protocol == Tunnel::hbone);
  CHECK(native.native_tunnel);
}

TEST_CASE("the trust domain of the mesh is that of its workloads") {
  Mesh mesh =
      mesh_of("rootNamespace: root\ntrustDomain: td.example\naccessLogFile: ''\n" + pod_with("name: p"));
  CHECK(mesh.workloads.at(0).identity().uri() == "spiffe://td.example/ns/demo/sa/default");
  CHECK(mesh.root_namespace == "root");
  CHECK(mesh.access_log_file.empty());
}

TEST_CASE("a named target port is looked up on each pod, and left out where it is missing") {
  Mesh mesh = mesh_of(service("demo", "a", "10.1.0.1", "", "{port: 80, targetPort: web}, {port: 81}") +
                      pod_with("name: p, labels: {app: a}",
                               "containers: [{ports: [{name: web, containerPort: 8080, protocol: UDP}]}, "
                               "{ports: [{name: web, containerPort: 8081}]}]") +
                      pod_with("name: q, labels: {app: a}", "", "podIP: 10.0.0.2"));
  CHECK(mesh.workloads.at(0).services.at("demo/a.demo.svc.cluster.local") == PortMap{{80, 8081}, {81, 81}});
  CHECK(mesh.workloads.at(1).services.at("demo/a.demo.svc.cluster.local") == PortMap{{81, 81}});
}

TEST_CASE("what a port speaks is read from appProtocol, else from its name") {
  struct Case {
    const char* port;
    AppProtocol wanted;
  };
  const Case cases[] = {
      {"{port: 80, name: http-web}", AppProtocol::http1},
      {"{port: 80, name: HTTP2-x}", AppProtocol::http2},
      {"{port: 80, name: grpc}", AppProtocol::grpc},
      {"{port: 80, name: grpc-web-x}", AppProtocol::sniff},
      {"{port: 80, name: https}", AppProtocol::tls},
      {"{port: 80, name: httpx}", AppProtocol::sniff},
      {"{port: 80}", AppProtocol::sniff},
      {"{port: 3306}", AppProtocol::tcp},
      {"{port: 3306, name: http}", AppProtocol::http1},
      {"{port: 80, name: http, appProtocol: tcp}", AppProtocol::tcp},
      {"{port: 80, appProtocol: kubernetes.io/h2c}", AppProtocol::http2},
      {"{port: 80, appProtocol: kubernetes.io/ws}", AppProtocol::http1},
      {"{port: 80, appProtocol: kubernetes.io/wss}", AppProtocol::tls},
      {"{port: 80, name: http, protocol: UDP}", AppProtocol::udp},
  };
  for (const Case& c : cases) {
    INFO(c.port);
    Mesh mesh = mesh_of(service("demo", "a", "10.1.0.1", "", c.port));
    CHECK(mesh.services.at(0).ports.begin()->second.protocol == c.wanted);
  }
}

TEST_CASE("a port number that serves TCP and UDP is its TCP one") {
  for (const char* ports :
       {"{port: 53, name: dns, protocol: UDP}, {port: 53, name: tcp, targetPort: 5353}",
        "{port: 53, name: tcp, targetPort: 5353}, {port: 53, name: dns, protocol: UDP}"}) {
    Mesh mesh = mesh_of(service("demo", "a", "10.1.0.1", "", ports) + pod("demo", "p", "10.0.0.1", "app: a"));
    CHECK(mesh.services.at(0).ports.at(53).protocol == AppProtocol::tcp);
    CHECK(mesh.workloads.at(0).services.begin()->second.at(53) == 5353);
  }
}

TEST_CASE("how a service spreads its load") {
  auto balancer = [](std::string_view spec, std::string_view meta = "name: a, namespace: demo") {
    return mesh_of(object("v1", "Service", fmt::format("metadata: {{{}}}, spec: {{{}}}", meta, spec)))
        .services.at(0)
        .load_balancer;
  };
  using Mode = LoadBalancer::Mode;
  CHECK_FALSE(balancer(""));
  CHECK_FALSE(balancer("trafficDistribution: Whatever"));
  CHECK(balancer("trafficDistribution: PreferSameZone")->routing_preferences.size() == 3);
  CHECK(balancer("trafficDistribution: PreferSameNode")->routing_preferences.size() == 5);
  CHECK(balancer("internalTrafficPolicy: Local, trafficDistribution: PreferClose")->mode == Mode::strict);
  std::optional<LoadBalancer> all = balancer("publishNotReadyAddresses: true");
  REQUIRE(all);
  CHECK(all->mode == Mode::standard);
  CHECK(all->health_policy == LoadBalancer::HealthPolicy::allow_all);
  CHECK(balancer(
            "",
            "name: a, namespace: demo, annotations: {networking.istio.io/traffic-distribution: preferclose}")
            ->mode == Mode::failover);
}

TEST_CASE("a Service beats ServiceEntries of its hostname, and of those the oldest is canonical") {
  auto entry = [](std::string_view ns, std::string_view host, std::string_view created) {
    return object(
        "networking.istio.io/v1", "ServiceEntry",
        fmt::format("metadata: {{name: se, namespace: {}, creationTimestamp: '{}'}}, spec: {{hosts: [{}], "
                    "resolution: STATIC}}",
                    ns, created, host));
  };
  Mesh mesh =
      mesh_of(entry("b", "x.com", "2024-02-01") + entry("c", "x.com", "2024-01-01") +
              entry("demo", "a.demo.svc.cluster.local", "2020-01-01") + service("demo", "a", "10.1.0.1"));
  CHECK(mesh.services.size() == 3);
  CHECK(service_named(mesh, "a.demo.svc.cluster.local").name == "a");
  CHECK_FALSE(service_named(mesh, "x.com", "b").canonical);
  CHECK(service_named(mesh, "x.com", "c").canonical);
}

TEST_CASE("a ServiceEntry's addresses are VIPs and prefixes, and passthrough where nothing is resolved") {
  Mesh mesh =
      mesh_of(object("networking.istio.io/v1", "ServiceEntry",
                     "metadata: {name: se, namespace: demo}, spec: {hosts: [x.com], addresses: [10.5.0.1, "
                     "10.6.0.0/16, 10.7.0.1/32], ports: [{number: 443, name: tls}]}"));
  const Service& made = mesh.services.at(0);
  CHECK(made.vips.size() == 2);
  CHECK(made.cidr_vips.at(0).cidr.str() == "10.6.0.0/16");
  CHECK(made.ports.at(443).target == 443);
  CHECK(made.load_balancer->mode == LoadBalancer::Mode::passthrough);
  CHECK(mesh.workloads.empty());
}

TEST_CASE("a ServiceEntry resolved by DNS is its own endpoint, per host") {
  Mesh mesh = mesh_of(
      object("networking.istio.io/v1", "ServiceEntry",
             "metadata: {name: se, namespace: demo}, spec: {hosts: [x.com, y.com], resolution: DNS, ports: "
             "[{number: 80, name: http, targetPort: 8080}]}"));
  REQUIRE(mesh.workloads.size() == 2);
  CHECK(mesh.workloads[0].hostname == "x.com");
  CHECK(mesh.workloads[0].services == std::map<std::string, PortMap>{{"demo/x.com", {{80, 8080}}}});
}

TEST_CASE("an endpoint inside a ServiceEntry has its own account and weight, and the labels of both") {
  const std::string policy =
      "metadata: {{name: {0}, namespace: demo}}, spec: {{selector: {{matchLabels: {{{0}: '1'}}}}, action: "
      "DENY, "
      "rules: [{{}}]}}";
  Mesh mesh = mesh_of(
      object(
          "networking.istio.io/v1", "ServiceEntry",
          "metadata: {name: se, namespace: demo, labels: {se: '1', app: outer}}, spec: {hosts: [x.com], "
          "resolution: STATIC, endpoints: [{address: 10.0.0.1, serviceAccount: vm, weight: 3, locality: r/z, "
          "labels: {ep: '1', app: inner, networking.istio.io/tunnel: http}}, {address: 10.0.0.2}]}") +
      object("security.istio.io/v1", "AuthorizationPolicy", fmt::format(fmt::runtime(policy), "se")) +
      object("security.istio.io/v1", "AuthorizationPolicy", fmt::format(fmt::runtime(policy), "ep")));
  const Workload &first = mesh.workloads.at(0), &second = mesh.workloads.at(1);
  CHECK(first.identity().uri() == "spiffe://cluster.local/ns/demo/sa/vm");
  CHECK(first.capacity == 3);
  CHECK(first.locality.zone == "z");
  CHECK(first.protocol == Tunnel::hbone);
  CHECK(first.canonical_name == "outer");
  CHECK(first.authorization_policies == std::vector<std::string>{"demo/ep", "demo/se"});
  CHECK(second.authorization_policies == std::vector<std::string>{"demo/se"});
  CHECK(second.protocol == Tunnel::tcp);
  CHECK(second.service_account.empty());
}

TEST_CASE("one endpoint's network does not leak into the next") {
  Mesh mesh = mesh_of(
      object("networking.istio.io/v1", "ServiceEntry",
             "metadata: {name: se, namespace: demo}, spec: {hosts: [x.com], resolution: STATIC, endpoints: "
             "[{address: 10.0.0.1, network: far}, {address: 10.0.0.2}]}"));
  CHECK(mesh.workloads.at(0).network == "far");
  CHECK(mesh.workloads.at(1).network.empty());
}

TEST_CASE("addresses of an EndpointSlice are workloads of its service, pods in it are not doubled") {
  Mesh mesh =
      mesh_of(object("v1", "Service",
                     "metadata: {name: a, namespace: demo}, spec: {ports: [{port: 80, name: http}]}") +
              pod_with("name: p, uid: u1", "", "podIP: 10.0.0.9") +
              object("discovery.k8s.io/v1", "EndpointSlice",
                     "metadata: {name: a-1, namespace: demo, labels: {kubernetes.io/service-name: a}}, "
                     "addressType: IPv4, endpoints: "
                     "[{addresses: [10.0.0.1], conditions: {ready: false}}, {addresses: [10.0.0.9], "
                     "targetRef: {kind: Pod, name: p, "
                     "namespace: demo, uid: u1}}], ports: [{name: http, port: 8080}]"));
  REQUIRE(mesh.workloads.size() == 2);
  CHECK(mesh.workloads[0].services.at("demo/a.demo.svc.cluster.local").at(80) == 80);
  CHECK(mesh.workloads[1].uid == "Kubernetes/discovery.k8s.io/EndpointSlice/demo/a-1/10.0.0.1");
  CHECK(mesh.workloads[1].status == Health::unhealthy);
  CHECK(mesh.workloads[1].services.at("demo/a.demo.svc.cluster.local").at(80) == 8080);
}

TEST_CASE("a Gateway of class istio-remote is the way into its network") {
  Mesh mesh = mesh_of(
      object("gateway.networking.k8s.io/v1", "Gateway",
             "metadata: {name: gw, namespace: infra, labels: {topology.istio.io/network: far}}, spec: "
             "{gatewayClassName: istio-remote, addresses: [{value: 10.5.0.1}], listeners: [{name: h, port: "
             "15009, protocol: HBONE}]}") +
      object("networking.istio.io/v1", "WorkloadEntry",
             "metadata: {name: vm, namespace: demo}, spec: {address: 10.0.0.1, network: far}"));
  REQUIRE(mesh.workloads.size() == 2);
  CHECK(mesh.workloads[0].uid == "NetworkGateway/far/10.5.0.1/15009");
  CHECK(mesh.workloads[0].service_account == "gw-istio-remote");
  REQUIRE(mesh.workloads[1].network_gateway);
  CHECK(mesh.workloads[1].network_gateway->str() == "far/10.5.0.1");
  CHECK(mesh.workloads[1].network_gateway->hbone_mtls_port == 15009);
}

TEST_CASE("the items of a List are read like documents, in YAML and JSON") {
  CHECK(mesh_of("apiVersion: v1\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: p, namespace: demo}, "
                "status: {podIP: "
                "10.0.0.1}}\nkind: List\n")
            .workloads.size() == 1);
  CHECK(mesh_of("{\"kind\": \"PodList\", \"apiVersion\": \"v1\", \"items\": [{\"apiVersion\": \"v1\", "
                "\"kind\": \"Pod\", "
                "\"metadata\": {\"name\": \"p\"}, \"status\": {\"podIP\": \"10.0.0.1\"}}]}",
                "x.json")
            .workloads.at(0)
            .ns == "default");
}

TEST_CASE("kinds that are not the mesh's are skipped with one warning each, later ones with a named one") {
  CHECK(warnings_of(object("apps/v1", "Deployment", "metadata: {name: a}") +
                    object("apps/v1", "Deployment", "metadata: {name: b}")) ==
        "x.yaml:2: Deployment: kind Deployment of apps/v1 is not one of the mesh's and is skipped");
  CHECK(warnings_of(
            object("networking.istio.io/v1", "VirtualService", "metadata: {name: a, namespace: demo}")) ==
        "x.yaml:2: VirtualService demo/a: is not supported yet and has no effect");
}

TEST_CASE("what is wrong in an object is one error with its place") {
  struct Case {
    const char* text;
    const char* error;
  };
  const Case cases[] = {
      {"a: [", "x.yaml:1: this is not YAML"},
      {"just text", "x.yaml:1: a Kubernetes object is a map with apiVersion and kind"},
      {"kind: Pod", "x.yaml:1: Pod: apiVersion: is required"},
      {"apiVersion: v1", "x.yaml:1: kind: is required"},
      {"{apiVersion: v1, kind: Pod}",
       "x.yaml:1: Pod: metadata.name: is required and holds no spaces or slashes"},
      {"{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: b/c}}",
       "x.yaml:1: Pod b/c/a: metadata.namespace: holds no spaces or slashes"},
      {"{apiVersion: v1, kind: Pod, metadata: {name: a, labels: [x]}}",
       "x.yaml:1: Pod: metadata.labels: must be a map"},
      {"{apiVersion: v1, kind: Pod, metadata: {name: a}, status: {podIP: 10.0.0.256}}",
       "x.yaml:1: Pod default/a: status.podIP: must be an IP address, not \"10.0.0.256\""},
      {"{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 70000}]}}",
       "x.yaml:1: Service default/a: spec.ports[0].port: must be a number from 1 to 65535"},
      {"{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{name: x}]}}",
       "x.yaml:1: Service default/a: spec.ports[0].port: is required"},
      {"{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {hostNetwork: 'true'}}",
       "x.yaml:1: Pod default/a: spec.hostNetwork: must be true or false"},
      {"apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: a}\nspec: {mtls: {mod: "
       "STRICT}}",
       "x.yaml:4: PeerAuthentication default/a: spec.mtls.mod: unknown field"},
      {"{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: a}, spec: {mtls: "
       "{mode: strict}}}",
       "x.yaml:1: PeerAuthentication default/a: spec.mtls.mode: must be one of UNSET, DISABLE, PERMISSIVE, "
       "STRICT, not "
       "\"strict\""},
      {"{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: a}, spec: {host: [x]}}",
       "x.yaml:1: ServiceEntry default/a: spec.host: unknown field\nx.yaml:1: ServiceEntry default/a: "
       "spec.hosts: is "
       "required"},
      {"{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: a}, spec: {hosts: [x], "
       "endpoints: [{address: "
       "10.0.0.1}, {address: 10.0.0.1}], resolution: STATIC}}",
       "x.yaml:1: ServiceEntry default/a: has two endpoints of address 10.0.0.1"},
      {"{apiVersion: v1, kind: ConfigMap, metadata: {name: istio}, data: {mesh: 'a: ['}}",
       "x.yaml:1: ConfigMap istio: data.mesh: line 1 of it: this is not YAML"},
      {"{apiVersion: v1, kind: Namespace, metadata: {name: a}}\n---\n{apiVersion: v1, kind: Namespace, "
       "metadata: {name: a}}",
       "x.yaml:3: Namespace a: is already defined at x.yaml:1"},
  };
  for (const Case& c : cases) {
    INFO(c.text);
    CHECK_THAT(errors_of(c.text), Catch::StartsWith(c.error));
    CHECK_FALSE(load_text(c.text, "x.yaml"));
  }
}

}  // namespace ambientd::config
