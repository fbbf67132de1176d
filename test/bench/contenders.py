# SPDX-License-Identifier: Apache-2.0
"""Who is measured: what stands on the path between the client and the server, and which processes it consists of.

A contender has start(), stop(), processes() and the address the load goes to. It logs nothing per connection or
request, checks certificates on both sides, and has `workers` threads for traffic.
"""
import shutil

from harness.process import Process

import envoy_config
from scene import BULK, HTTP, WEB, Scene, wait_listening

OURS = "ambientd"
PORTS = (HTTP, BULK)


class Void(Exception):
    """Why a measurement says nothing."""


class Contender:
    family, captured = "l4", True

    def __init__(self, guardian, place, workers):
        self.place = place / f"{self.family}-{self.name}"
        shutil.rmtree(self.place, ignore_errors=True)  # certificates of another run's root
        self.place.mkdir(parents=True)
        self.workers, self._processes, self.running = workers, [], False
        self.scene = Scene(guardian, f"{self.family[0]}{self.name[:4]}", self.place, self.captured, workers)

    @property
    def address(self):
        """host:port of the HTTP server, as the client dials it."""
        return f"{self.scene.far.ip}:{HTTP}" if self.family == "l4" else f"{WEB}:80"

    def launch(self):
        """Starts the proxies; the processes whose CPU and memory count."""
        raise NotImplementedError

    def start(self):
        self.running, self._processes = True, self.launch()

    def check(self):
        """One request through it. Void unless it is answered with 200."""
        done = self.scene.client.curl("-o", "/dev/null", "-w", "%{http_code}", f"http://{self.address}/1k")
        if done.stdout != "200":
            raise Void(f"a request through {self.name} got {done.stdout} {done.stderr.strip()} (its log is in {self.place})")

    def connect(self, timeout):
        """A TCP connection from the client to the HTTP server."""
        host, _, port = self.address.partition(":")
        return self.scene.client.connect(host, int(port), timeout)

    def processes(self):
        """The running ones, client's side first. Void when one has ended."""
        for process in self._processes:
            if not process.alive():
                raise Void(f"{process.arguments[0]} ended with {process.wait()} (its log is in {self.place})")
        return self._processes

    def stop(self):
        self.running = False
        for process in self._processes:
            process.stop()
        self.scene.mesh.stop()

    def close(self):
        try:
            self.stop()
        finally:
            self.scene.close()


class NoProxy(Contender):
    name, captured = "none", False

    def launch(self):
        return []


class Ambientd(Contender):
    name = OURS

    def launch(self):
        mesh = self.scene.mesh
        return [mesh.start_ztunnel(1).process, mesh.start_ztunnel(2).process]


class Envoy(Contender):
    name = "envoy"

    def launch(self):
        authority, client, far = self.scene.mesh.authority, self.scene.client, self.scene.far
        server = envoy_config.start(far, envoy_config.pair_server(authority, far, PORTS), self.place, self.workers)
        client = envoy_config.start(client, envoy_config.pair_client(authority, client, far, PORTS), self.place, self.workers)
        return [client, server]


HAPROXY = """
global
  nbthread {workers}
  maxconn 8192
  ssl-default-bind-options ssl-min-ver TLSv1.3
  ssl-default-server-options ssl-min-ver TLSv1.3
defaults
  mode tcp
  timeout client 1h
  timeout server 1h
  timeout connect 5s
"""


class HAProxy(Contender):
    """A TLS connection for each connection, which is what a mesh without HBONE does. 8080 travels as 15108, 9000 as 15109."""
    name = "haproxy"

    def _tunnel(self, port):
        return 15108 + PORTS.index(port)

    def _mtls(self, pod):
        cert, key = self.scene.mesh.authority.leaf(pod.identity)
        both = self.place / f"{pod.name}.pem"
        both.write_text(cert.read_text() + key.read_text())
        return f"ssl crt {both} ca-file {self.scene.mesh.authority.cert} verify required"

    def _start(self, pod, port, *sections):
        config = self.place / f"haproxy-{pod.name}.cfg"
        config.write_text(HAPROXY.format(workers=self.workers) + "\n".join(sections) + "\n")
        process = Process(["haproxy", "-db", "-f", config], pod.netns, log=self.place / f"haproxy-{pod.name}.log")
        wait_listening(pod, process, port)
        return process

    def launch(self):
        client, far = self.scene.client, self.scene.far
        for pod, chain in ((client, "OUTPUT"), (far, "PREROUTING")):
            pod.run("iptables", "-t", "nat", "-I", chain, "-p", "tcp", "--dport", "15108:15109", "-j", "ACCEPT")
        outbound = ["frontend out", "  bind :15001"]
        outbound += [f"  use_backend to-{p} if {{ dst_port {p} }}" for p in PORTS]
        outbound += [f"backend to-{p}\n  server far {far.ip}:{self._tunnel(p)} {self._mtls(client)}" for p in PORTS]
        inbound = [f"listen in-{p}\n  bind :{self._tunnel(p)} {self._mtls(far)}\n  server app 127.0.0.1:{p}" for p in PORTS]
        return [self._start(client, 15001, *outbound), self._start(far, self._tunnel(HTTP), *inbound)]


class AmbientdWaypoint(Contender):
    """Between two of our ztunnels, which are not counted."""
    name, family = OURS, "waypoint"

    def launch(self):
        mesh = self.scene.mesh
        mesh.start_ztunnel(1)
        mesh.start_ztunnel(2)
        return [mesh.start_waypoint(self.scene.waypoint).process]


class EnvoyWaypoint(AmbientdWaypoint):
    name = "envoy"

    def launch(self):
        mesh, scene = self.scene.mesh, self.scene
        mesh.start_ztunnel(1)
        mesh.start_ztunnel(2)
        resources = envoy_config.waypoint(mesh.authority, scene.waypoint, scene.far, HTTP, scene.client.identity)
        return [envoy_config.start(scene.waypoint, resources, self.place, self.workers)]


ALL = (NoProxy, Ambientd, Envoy, HAProxy, AmbientdWaypoint, EnvoyWaypoint)
