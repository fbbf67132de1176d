# SPDX-License-Identifier: Apache-2.0
"""Who is measured: what stands on the path between the client and the server, and which processes it consists of.

A contender has start(), stop(), processes() and the address the load goes to. It logs nothing per connection or
request and checks certificates on both sides. `ambientd-3.5` is built with a private OpenSSL 3.5 (`make OPENSSL=3.5`).
"""
import os
import shutil

from harness.process import BINARY, ROOT, Process

import envoy_config
from scene import BULK, HTTP, WEB, Scene, Setup, wait_listening
from tools import Void

OURS, OURS_35, ENVOY, HAPROXY, NONE = "ambientd", "ambientd-3.5", "envoy", "haproxy", "none"
BINARY_35 = ROOT / "build/release-openssl3.5/ambientd"
COUNTING = ROOT / "build/bench/count.so"
PORTS = (HTTP, BULK)


class Contender:
    family, captured = "l4", True

    def __init__(self, guardian, place):
        self.place = place / f"{self.family}-{self.name}"
        shutil.rmtree(self.place, ignore_errors=True)  # certificates of another run's root
        self.place.mkdir(parents=True)
        self.setup, self._processes, self.running = Setup(), [], False
        tag = self.family[0] + self.name.replace("ambientd", "amb").replace(".", "")
        self.scene = Scene(guardian, tag, self.place, self.captured)

    @property
    def address(self):
        """host:port of the HTTP server, as the client dials it."""
        return f"{self.scene.far.ip}:{HTTP}" if self.family == "l4" else f"{WEB}:80"

    def launch(self):
        """Starts the proxies; the processes whose CPU and memory count."""
        raise NotImplementedError

    def start(self, setup):
        if setup.routes != self.setup.routes:
            self.scene.set_routes(setup.routes)
        self.setup, self.running = setup, True
        self.scene.mesh.env = self.environment()
        self._processes = self.launch()

    def environment(self):
        """Of our own proxies."""
        quiet = {"RUST_LOG": "warn,access=off", "ZTUNNEL_WORKER_THREADS": str(self.setup.workers)}
        return quiet | ({"LD_PRELOAD": str(COUNTING), "AMBIENTD_COUNTS": str(self.place)} if self.setup.counting else {})

    def check(self):
        """One request through it. Void unless it is answered with 200."""
        path = "route/0" if self.setup.routes else "1k"  # a path that no rule has is answered with 404
        done = self.scene.client.curl("-o", "/dev/null", "-w", "%{http_code}", f"http://{self.address}/{path}")
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
    name, captured = NONE, False

    def launch(self):
        return []


class Ambientd(Contender):
    name, binary = OURS, BINARY

    def launch(self):
        return [self.scene.mesh.start_ztunnel(node, binary=self.binary).process for node in (1, 2)]


class Ambientd35(Ambientd):
    name, binary = OURS_35, BINARY_35


class Envoy(Contender):
    name = ENVOY

    def launch(self):
        authority, client, far = self.scene.mesh.authority, self.scene.client, self.scene.far
        server = envoy_config.start(far, envoy_config.pair_server(authority, far, PORTS), self.place, self.setup.workers)
        client = envoy_config.start(client, envoy_config.pair_client(authority, client, far, PORTS), self.place,
                                    self.setup.workers)
        return [client, server]


HAPROXY_CONFIG = """
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
    name = HAPROXY

    def _tunnel(self, port):
        return 15108 + PORTS.index(port)

    def _mtls(self, pod):
        cert, key = self.scene.mesh.authority.leaf(pod.identity)
        both = self.place / f"{pod.name}.pem"
        both.write_text(cert.read_text() + key.read_text())
        return f"ssl crt {both} ca-file {self.scene.mesh.authority.cert} verify required"

    def _start(self, pod, port, *sections):
        config = self.place / f"haproxy-{pod.name}.cfg"
        config.write_text(HAPROXY_CONFIG.format(workers=self.setup.workers) + "\n".join(sections) + "\n")
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
    """Between two of our ztunnels (default build), which are not counted."""
    name, family, binary = OURS, "waypoint", BINARY

    def launch(self):
        mesh = self.scene.mesh
        mesh.start_ztunnel(1)
        mesh.start_ztunnel(2)
        return [mesh.start_waypoint(self.scene.waypoint, binary=self.binary).process]


class Ambientd35Waypoint(AmbientdWaypoint):
    name, binary = OURS_35, BINARY_35


class EnvoyWaypoint(AmbientdWaypoint):
    name = ENVOY

    def launch(self):
        mesh, scene = self.scene.mesh, self.scene
        mesh.start_ztunnel(1)
        mesh.start_ztunnel(2)
        resources = envoy_config.waypoint(mesh.authority, scene.waypoint, scene.far, HTTP, scene.client.identity,
                                          self.setup.routes)
        return [envoy_config.start(scene.waypoint, resources, self.place, self.setup.workers)]


ALL = (NoProxy, Ambientd, Ambientd35, Envoy, HAProxy, AmbientdWaypoint, Ambientd35Waypoint, EnvoyWaypoint)


def there(contender):
    """Whether it can be started here: the build with OpenSSL 3.5 is optional."""
    return contender.name != OURS_35 or os.access(BINARY_35, os.X_OK)
