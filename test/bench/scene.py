# SPDX-License-Identifier: Apache-2.0
"""What every contender works in: its own two nodes, a client, and real servers behind it.

    node1: client  waypoint(not captured)        node2: far, with nginx on 8080 and iperf3 on 9000

Each contender has namespaces of its own, so all of them stay up and take turns without a trace of the one before.
Service `web` is far's nginx behind the waypoint.
"""
import contextlib
import time
from dataclasses import dataclass

from harness import netns as ns
from harness import objects as k8s
from harness.mesh import Mesh

WEB = "10.88.0.40"
HTTP, BULK = 8080, 9000
PORTS = [("http", 80, HTTP)]
SIZES = {"1k": 1 << 10, "100k": 100 << 10}  # files nginx has, and their bytes; /route/… is the first of them
BIG = 64 << 20  # the file `big`, which is not read to its end
RULES_OF_A_ROUTE = 16  # Gateway API allows no more
SYSCTLS = {  # or a connection per request runs out of ports and of conntrack entries within seconds
    "ipv4/ip_local_reserved_ports": "8080,9000,15000-15200", "ipv4/ip_local_port_range": "1024 65535",
    "ipv4/tcp_tw_reuse": "1", "netfilter/nf_conntrack_tcp_timeout_time_wait": "1", "core/somaxconn": "8192"}
NGINX = """
daemon off; worker_processes 1; worker_rlimit_nofile 20000; pid {place}/nginx.pid; error_log stderr error;
events {{ worker_connections 16384; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600s; sendfile on; tcp_nopush off;
  open_file_cache max=10 inactive=1h; open_file_cache_valid 1h;
  client_body_temp_path {place}/t; proxy_temp_path {place}/t; fastcgi_temp_path {place}/t;
  uwsgi_temp_path {place}/t; scgi_temp_path {place}/t;
  server {{ listen 8080 backlog=8192; root {place}/www; location /route/ {{ try_files /1k =404; }} }}
}}
"""
QUIET = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "istio", "namespace": "istio-system"},
         "data": {"mesh": 'accessLogFile: ""\n'}}


@dataclass(frozen=True)
class Setup:
    """What a contender is started with; it is started anew when a work asks for another."""
    workers: int = 1  # threads for traffic, in each process
    routes: int = 0  # at the waypoint, /route/0 and up; 0: no HTTPRoute at all
    counting: bool = False  # ambientd under build/bench/count.so


class Scene:
    """`mesh` has the pods, the configuration and the capture; the proxies are the contender's."""

    def __init__(self, guardian, tag, place, captured):
        self.place = place
        self.mesh = Mesh(guardian, f"{tag}-", place)
        self.client = self.mesh.pod(1, "demo/client-0/client", {"app": "client"}, captured=captured)
        self.waypoint = self.mesh.pod(1, "demo/waypoint-0/waypoint", k8s.waypoint_labels("waypoint"), captured=False)
        self.far = self.mesh.pod(2, "demo/far-0/far", {"app": "far"}, captured=captured)
        self._configure()
        self._widen()
        self.mesh.topology.capture()
        self._servers = self._serve()

    def _configure(self):
        allow = k8s.authorization("demo/only-client", "ALLOW", service_name="web", rules=[
            {"from": [{"source": {"principals": ["cluster.local/ns/demo/sa/client"]}}]}])
        self.mesh.add(k8s.waypoint("demo/waypoint", "10.88.0.100"), allow, QUIET,
                      k8s.service("demo/web", [WEB], {"app": "far"}, PORTS, waypoint="waypoint"))
        self.mesh.write()

    def set_routes(self, count):
        """So many rules for `web`, for processes that are started from now on."""
        rules = [{"matches": [{"path": {"type": "PathPrefix", "value": f"/route/{i}"}}], "backendRefs": [{"name": "web", "port": 80}]}
                 for i in range(count)]
        groups = (rules[i:i + RULES_OF_A_ROUTE] for i in range(0, count, RULES_OF_A_ROUTE))
        self.mesh.write(k8s.route(f"demo/routes-{i}", "web", group) for i, group in enumerate(groups))

    def _widen(self):
        for netns in [n.netns for n in self.mesh.topology.nodes] + [p.netns for p in self.mesh.topology.pods]:
            with ns.inside(netns):
                for name, value in SYSCTLS.items():
                    with contextlib.suppress(FileNotFoundError), open(f"/proc/sys/net/{name}", "w") as f:
                        f.write(value)  # conntrack's is not there where nothing is captured

    def _serve(self):
        www = self.place / "www"
        www.mkdir(exist_ok=True)
        for name, size in SIZES.items():
            (www / name).write_bytes(b"x" * size)
        with open(www / "big", "wb") as big:
            big.truncate(BIG)
        config = self.place / "nginx.conf"
        config.write_text(NGINX.format(place=self.place))
        commands = (["nginx", "-c", str(config)], ["iperf3", "-s", "-p", str(BULK)])
        servers = [self.far.spawn(*command, log=self.place / f"{command[0]}.log") for command in commands]
        for server, port in zip(servers, (HTTP, BULK)):
            wait_listening(self.far, server, port)
        return servers

    def close(self):
        for server in self._servers:
            server.kill()
        self.mesh.close()


def wait_listening(pod, process, port):
    """Asks from inside the pod, on loopback, which no capture rule minds. RuntimeError after ten seconds."""
    deadline = time.monotonic() + 10
    while process.alive() and time.monotonic() < deadline:
        try:
            pod.connect("127.0.0.1", port).close()
            return
        except OSError:
            process.lines.wait_change(0.02)
    said = " ".join(process.lines.since()[-3:])
    raise RuntimeError(f"{process.arguments[0]} does not listen on {port}: {said or 'it says nothing'}")
