# SPDX-License-Identifier: Apache-2.0
"""A whole mesh: topology, configuration, a ztunnel per node, waypoints."""
import contextlib
import pathlib

from . import objects as k8s
from .certificates import Authority
from .process import BINARY
from .proxies import Waypoint, Ztunnel
from .topology import Topology


class Mesh:
    """Add pods and objects, start(), use, close(). Files and logs are in `place`."""

    def __init__(self, guardian, tag, place):
        self.topology = Topology(guardian, tag)
        self.place = pathlib.Path(place)
        self.place.mkdir(parents=True, exist_ok=True)
        self.authority = Authority(self.place / "ca")
        self.config = self.place / "mesh.yaml"
        self.objects, self.ztunnels, self.waypoints = [], {}, {}
        self.env = {}  # of every proxy

    @property
    def identity_flags(self):
        return [f"--ca-cert={self.authority.cert}", f"--ca-key={self.authority.key}"]

    def pod(self, node, path, labels=None, **options):
        return self.topology.pod(node, path, labels, **options)

    def add(self, *objects):
        for o in objects:
            self.objects += o if isinstance(o, list) else [o]

    def base(self):
        """What every mesh has: namespaces, nodes and the pods as objects."""
        spaces = sorted({p.namespace for p in self.topology.pods} | {"istio-system"})
        return [k8s.namespace(s) for s in spaces] + [k8s.node(n.name) for n in self.topology.nodes] + [
            k8s.pod(p) for p in self.topology.pods]

    def write(self, extra=()):
        k8s.write(self.config, self.base() + self.objects + list(extra))

    def start(self, nodes=(1, 2), waypoints=()):
        """Writes the configuration, captures the pods and starts the proxies, all ready on return."""
        self.write()
        self.topology.capture()
        for index in nodes:
            self.start_ztunnel(index, ready=False)
        for pod in waypoints:
            self.start_waypoint(pod, ready=False)
        for proxy in self.proxies():
            proxy.wait_ready()
        return self

    def start_ztunnel(self, index, ready=True, binary=BINARY):
        node = self.topology.nodes[index - 1]
        self.ztunnels[index] = Ztunnel(node, self.identity_flags, self.config, self.place / f"ztunnel-{node.name}.log",
                                       self.env)
        return self._start(self.ztunnels[index], ready, binary)

    def start_waypoint(self, pod, ready=True, binary=BINARY):
        self.waypoints[pod.name] = Waypoint(pod, self.identity_flags, self.config, self.place / f"{pod.name}.log", self.env)
        return self._start(self.waypoints[pod.name], ready, binary)

    @staticmethod
    def _start(proxy, ready, binary):
        proxy.binary = binary
        return proxy.start(ready)

    def proxies(self):
        return [*self.ztunnels.values(), *self.waypoints.values()]

    @contextlib.contextmanager
    def edited(self, *extra, objects=None):
        """The configuration with these objects added (or replaced by `objects`) for the length of the block."""
        self.apply(*extra, objects=objects)
        try:
            yield
        finally:
            self.apply()

    def apply(self, *extra, objects=None):
        """Writes an edit and waits until every running process has taken it."""
        marks = [(p, p.mark()) for p in self.proxies() if p.process.alive()]
        k8s.write(self.config, self.base() + self.objects + list(extra) if objects is None else objects)
        for proxy, mark in marks:
            proxy.wait_line(RELOADED, since=mark)

    def stop(self):
        """Ends the proxies in order; AssertionError if one did not end well."""
        failures = []
        for proxy in self.proxies():
            try:
                proxy.stop()
            except AssertionError as error:
                failures.append(str(error))
        assert not failures, "\n".join(failures)

    def close(self):
        try:
            self.stop()
        finally:
            self.topology.close()


RELOADED = r"configuration (re)?loaded|loaded configuration"
