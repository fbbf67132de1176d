# SPDX-License-Identifier: Apache-2.0
"""Two nodes joined by a wire, pods on each: addresses, routes, names and capture, as a cluster would set them up.

    node1 (netns) ── 10.77.0.1 ──── 10.77.0.2 ── node2 (netns)
      bridge 10.77.1.1, fd00:77:1::1               bridge 10.77.2.1, fd00:77:2::1
      pods   10.77.1.10…, fd00:77:1::a…            pods   10.77.2.10…, fd00:77:2::a…

Service addresses (10.88.0.0/16, fd00:88::/64) exist in configuration only: a pod's default route makes connect() to
one possible, and only capture makes it go anywhere.
"""
import contextlib
import re
import socket

from . import netns as ns
from .process import BINARY, Process, run


class Node:
    """A network namespace with a bridge for its pods and a wire `wire` to the other node."""

    def __init__(self, topology, index):
        self.topology, self.index = topology, index
        self.name = f"node{index}"
        self.netns = f"{topology.prefix}n{index}"
        self.pods = []
        ns.ip("netns", "add", self.netns)
        with ns.inside(self.netns):
            # A router looks for neighbours from its link-local address, and not at all while that one is tentative.
            for scope in ("all", "default"):
                _write(f"/proc/sys/net/ipv6/conf/{scope}/accept_dad", "0")
        ns.batch(["link set lo up", "link add br0 type bridge stp_state 0 mcast_snooping 0", "link set br0 up",
                  f"addr add 10.77.{index}.1/24 dev br0", f"addr add fd00:77:{index}::1/64 dev br0 nodad"],
                 self.netns)
        with ns.inside(self.netns):
            _write("/proc/sys/net/ipv4/ip_forward", "1")
            _write("/proc/sys/net/ipv6/conf/all/forwarding", "1")


class Pod:
    """A pod's namespace: sockets and programs in it, its addresses, its place in the mesh."""

    def __init__(self, node, path, labels=None, captured=True, enrolled=None):
        """path: `namespace/name/service-account`. captured: the redirect rules are applied and the node's ztunnel
        serves it. enrolled (default: captured): configuration says it speaks HBONE."""
        self.node, self.labels, self.captured = node, labels or {}, captured
        self.enrolled = captured if enrolled is None else enrolled
        self.namespace, self.name, self.sa = path.split("/")
        number = 10 + len(node.pods)
        self.ip = f"10.77.{node.index}.{number}"
        self.ip6 = f"fd00:77:{node.index}::{number:x}"
        self.netns = f"{node.topology.prefix}{self.name}"
        self.identity = f"spiffe://cluster.local/ns/{self.namespace}/sa/{self.sa}"
        self._join(f"p{number}")
        node.pods.append(self)

    def _join(self, port):
        gateway, gateway6 = f"10.77.{self.node.index}.1", f"fd00:77:{self.node.index}::1"
        ns.batch([f"netns add {self.netns}"])
        ns.batch([f"link add eth0 netns {self.netns} type veth peer name {port} netns {self.node.netns}"])
        ns.batch([f"link set {port} master br0", f"link set {port} up"], self.node.netns)
        ns.batch(["link set lo up", "link set eth0 up", f"addr add {self.ip}/24 dev eth0",
                  f"addr add {self.ip6}/64 dev eth0 nodad", f"route add default via {gateway}",
                  f"route add default via {gateway6}"], self.netns)

    @property
    def path(self):
        return f"{self.namespace}/{self.name}/{self.sa}"

    def socket(self, family=socket.AF_INET, kind=socket.SOCK_STREAM):
        return ns.socket_in(self.netns, family, kind)

    def connect(self, address, port, timeout=5.0, source=None):
        """A connected TCP socket of this pod; the timeout stays on it."""
        s = self.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        try:
            s.settimeout(timeout)
            if source:
                s.bind((source, 0))
            s.connect((address, port))
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            s.close()
            raise
        return s

    def listen(self, port, backlog=4096):
        """A socket listening on every address of this pod, IPv4 and IPv6."""
        s = self.socket(socket.AF_INET6)
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("::", port))
        s.listen(backlog)
        return s

    def run(self, *arguments, **options):
        return run(arguments, self.netns, **options)

    def spawn(self, *arguments, **options):
        return Process(arguments, self.netns, **options)

    def curl(self, *arguments, timeout=10, **options):
        return self.run("curl", "-s", "-S", "--max-time", str(timeout), "--noproxy", "*", *arguments,
                        timeout=timeout + 5, **options)

    def get(self, url, *flags):
        """(status, headers, body) of one request by curl; header names in lower case."""
        done = self.curl("-i", *flags, url)
        assert done.returncode == 0, done.stderr
        head, _, body = done.stdout.replace("\r", "").partition("\n\n")
        first, *fields = head.splitlines()
        return int(first.split()[1]), {k.lower(): v.strip() for k, _, v in (x.partition(":") for x in fields)}, body

    def redirect(self, *flags):
        """Runs `ambientd redirect` in the pod; the rules are a node agent's job, not the app's."""
        done = self.run(BINARY, "redirect", *flags)
        assert done.returncode == 0, done.stderr
        return done.stdout


class Topology:
    """Nodes and pods of one test module. close() ends the processes in them and removes them."""

    def __init__(self, guardian, tag):
        self.prefix = f"{guardian.prefix}{tag}"
        self.nodes, self.pods, self.hosts = [], [], {}
        self.nodes = [Node(self, 1), Node(self, 2)]
        self._wire()

    def _wire(self):
        one, two = (node.netns for node in self.nodes)
        ns.batch([f"link add wire netns {one} type veth peer name wire netns {two}"])
        for node, other in ((self.nodes[0], 2), (self.nodes[1], 1)):
            ns.batch([f"addr add 10.77.0.{node.index}/24 dev wire", f"addr add fd00:77::{node.index}/64 dev wire nodad",
                      "link set wire up", f"route add 10.77.{other}.0/24 via 10.77.0.{other}",
                      f"route add fd00:77:{other}::/64 via fd00:77::{other}"], node.netns)

    def pod(self, node, path, labels=None, captured=True, enrolled=None):
        """Adds a pod to node 1 or 2."""
        pod = Pod(self.nodes[node - 1], path, labels, captured, enrolled)
        self.pods.append(pod)
        return pod

    def names(self, hosts):
        """Every pod (those there are now) resolves these names: {name: [address, …]}."""
        self.hosts |= hosts
        text = "127.0.0.1 localhost\n::1 localhost\n"
        text += "".join(f"{a} {name}\n" for name, addresses in self.hosts.items() for a in addresses)
        for pod in self.pods:
            place = ns.ETC / pod.netns
            place.mkdir(parents=True, exist_ok=True)
            (place / "hosts").write_text(text)

    def capture(self):
        """Applies the redirect rules to every pod that is to be captured."""
        for pod in self.pods:
            if pod.captured:
                pod.redirect("--apply")

    def close(self):
        ns.remove_all(self.prefix)


def _write(path, value):
    with open(path, "w") as f:
        f.write(value)


def free_of(prefix):
    """Whether nothing of a run is left behind."""
    with contextlib.suppress(FileNotFoundError):
        if any(ns.ETC.glob(prefix + "*")):
            return False
    return not ns.names(prefix) and not re.search(re.escape(prefix), run(["ip", "netns", "list"]).stdout)
