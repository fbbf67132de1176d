# SPDX-License-Identifier: Apache-2.0
"""Ways a call takes that are not the plain one: past endpoints that fail, through another network's gateway, into an
application that wants a PROXY header, past a waypoint that is not there."""
import socket
import struct
import threading

import pytest

from harness import objects as k8s
from harness.crossing import EastWest
from harness.servers import Echo, ended, read_exactly
from hbone_client import HboneServer

PORTS = [("tcp", 9000, 9000)]
FAILED = "ambientd_failed_attempts_total"


def selected(*services):
    return {f"of-{name}": "yes" for name in services}


def remote_network(gateway):
    """Network `far`, what is there, and the way in."""
    return [
        k8s._object("networking.istio.io/v1", "WorkloadEntry", "over", "demo", metadata={"labels": {"app": "over"}},
                    spec={"address": "10.99.0.5", "network": "far", "serviceAccount": "over"}),
        k8s._object("networking.istio.io/v1", "ServiceEntry", "over", "demo",
                    spec={"hosts": ["over.example"], "addresses": ["10.88.0.90"], "resolution": "STATIC",
                          "ports": [{"number": 9000, "name": "tcp", "protocol": "TCP"}],
                          "workloadSelector": {"labels": {"app": "over"}}}),
        k8s._object("gateway.networking.k8s.io/v1", "Gateway", "gw", "demo",
                    metadata={"labels": {"topology.istio.io/network": "far"},
                              "annotations": {"gateway.istio.io/service-account": "gw"}},
                    spec={"gatewayClassName": "istio-remote",
                          "addresses": [{"type": "IPAddress", "value": gateway.ip}],
                          "listeners": [{"name": "cross", "port": 15008, "protocol": "HBONE"}]})]


def sandwich():
    gateway, service = k8s.waypoint("demo/sandwich", "10.88.0.80")
    gateway["metadata"]["annotations"] = {"ambient.istio.io/waypoint-inbound-binding": "PROXY/15088"}
    return [gateway, service]


@pytest.fixture(scope="module")
def mesh(new_mesh):
    m = new_mesh
    m.client = m.pod(1, "demo/client-0/client")
    m.up = m.pod(2, "demo/up-0/up", selected("down", "sick", "strict", "mute"))
    m.down = m.pod(2, "demo/down-0/down", selected("down"), captured=False, enrolled=True)
    m.sick = m.pod(2, "demo/sick-0/sick", selected("sick", "strict"), captured=False, enrolled=True)
    m.mute = m.pod(2, "demo/mute-0/mute", selected("mute"), captured=False, enrolled=True)
    m.over = m.pod(2, "demo/over-0/over")
    m.gw = m.pod(2, "demo/gw-0/gw", captured=False)
    m.proxied = m.pod(2, "demo/sandwich-0/sandwich", {"gateway.networking.k8s.io/gateway-name": "sandwich"})
    for i, name in enumerate(("down", "sick", "strict", "mute")):
        m.add(k8s.service(f"demo/{name}", [f"10.88.0.{40 + i}", f"fd00:88::{40 + i}"], selected(name), PORTS))
    m.add(k8s.service("demo/inside", ["10.88.0.81", "fd00:88::81"], {"app": "none"}, PORTS, waypoint="sandwich"),
          k8s.service("demo/lost", ["10.88.0.82"], selected("down"), PORTS, waypoint="gone"),
          sandwich(), remote_network(m.gw))
    m.start()
    with Echo(m.up, 9000), Echo(m.over, 9000):
        yield m


def exchange(pod, address, data=b"hello", port=9000):
    with pod.connect(address, port) as s:
        s.sendall(data)
        assert read_exactly(s, len(data)) == data


@pytest.mark.parametrize("address", ["10.88.0.40", "fd00:88::40"])
def test_an_endpoint_where_nobody_listens_is_passed_over(mesh, address):
    before = mesh.ztunnels[1].counter(FAILED, destination_workload="down-0", reason="connect_refused")
    mark = mesh.ztunnels[1].mark()
    for _ in range(20):
        exchange(mesh.client, address)
    assert mesh.ztunnels[1].counter(FAILED, destination_workload="down-0", reason="connect_refused") > before
    record = mesh.ztunnels[1].connection(since=mark, direction="outbound")
    assert record["dst.workload"] == "up-0" and record["level"] == "info"


@pytest.mark.parametrize("status, service, passed", [("503", "10.88.0.41", True), ("401", "10.88.0.42", False),
                                                     ("400", "10.88.0.42", False)])
def test_a_503_is_tried_elsewhere_and_a_refusal_is_not(mesh, status, service, passed):
    server = HboneServer(mesh.sick.listen(15008), mesh.authority.server_context(mesh.sick.identity),
                         answer=lambda headers: [(":status", status)])
    failures = 0
    try:
        for _ in range(20):
            with mesh.client.connect(service, 9000) as s:
                s.sendall(b"hello")
                got = s.recv(5) if passed else (b"" if ended(s) else b"hello")
                failures += got != b"hello"
    finally:
        server.close()
    assert server.connects, "the sick endpoint was never asked"
    assert (failures == 0) == passed


def test_an_endpoint_that_never_answers_is_given_up_for_another(mesh):
    with mesh.mute.listen(15008):
        while mesh.ztunnels[1].counter(FAILED, destination_workload="mute-0", reason="timed_out") == 0:
            with mesh.client.connect("10.88.0.43", 9000, timeout=9) as s:
                s.sendall(b"hello")
                assert read_exactly(s, 5) == b"hello"


@pytest.fixture
def east_west(mesh):
    gateway = EastWest(mesh.gw, mesh.authority.server_context(mesh.gw.identity), (mesh.over.ip, 15008))
    yield gateway
    gateway.close()


def test_another_network_is_reached_through_its_gateway(mesh, east_west):
    mark = mesh.ztunnels[1].mark()
    for _ in range(3):
        exchange(mesh.client, "10.88.0.90", b"across" * 5000)
    assert len(east_west.connects) == 1  # one inner connection carries all three
    headers = dict(east_west.connects[0])
    assert headers[":authority"] == "over.example:9000"
    assert "x-forwarded-network" not in headers
    record = mesh.ztunnels[1].connection(since=mark, direction="outbound")
    assert record["dst.workload"] == "over-0" and record["dst.identity"] == mesh.over.identity
    assert record["dst.addr"] == f"{mesh.gw.ip}:15008" and record["dst.hbone_addr"] == "over.example:9000"
    assert record["dst.service"] == "over.example"
    inside = mesh.ztunnels[2].connection(direction="inbound", dst__hbone_addr="over.example:9000")
    assert inside["src.identity"] == mesh.client.identity


class ProxiedEcho:
    """Reads a PROXY v2 header from every connection to 15088 on loopback, then echoes. `seen`: parsed headers."""

    def __init__(self, pod):
        self.seen = []
        self.listener = pod.listen(15088)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                s, peer = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(s, peer), daemon=True).start()

    def _serve(self, s, peer):
        with s:
            start = read_exactly(s, 16)
            signature, kind, family, size = struct.unpack("!12sBBH", start)
            assert signature == b"\r\n\r\n\0\r\nQUIT\n" and kind == 0x21
            body = read_exactly(s, size)
            n, af = {0x11: (4, socket.AF_INET), 0x21: (16, socket.AF_INET6)}[family]
            header = {"peer": peer[0], "source": socket.inet_ntop(af, body[:n]),
                      "target": socket.inet_ntop(af, body[n:2 * n]),
                      "port": struct.unpack("!H", body[2 * n + 2:2 * n + 4])[0]}
            rest = body[2 * n + 4:]
            while rest:
                tlv, length = struct.unpack("!BH", rest[:3])
                header[tlv], rest = rest[3:3 + length].decode(), rest[3 + length:]
            self.seen.append(header)
            while data := s.recv(1 << 16):
                s.sendall(data)

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


@pytest.mark.parametrize("vip, source", [("10.88.0.81", "ip"), ("fd00:88::81", "ip6")])
def test_an_application_tunnel_begins_with_a_proxy_header(mesh, vip, source):
    app = ProxiedEcho(mesh.proxied)
    try:
        exchange(mesh.client, vip)
    finally:
        app.close()
    assert len(app.seen) == 1
    header = app.seen[0]
    assert header["target"] == vip and header["port"] == 9000
    assert header["source"] == getattr(mesh.client, source)
    assert header[0xD0] == mesh.client.identity
    assert header[0xD1] == "inside.demo.svc.cluster.local"
    assert header["peer"] in ("::ffff:127.0.0.1", "::1")


def test_a_service_whose_waypoint_does_not_exist_is_called_without_it_and_counted(mesh):
    mark = mesh.ztunnels[1].mark()
    exchange(mesh.client, "10.88.0.82")
    mesh.ztunnels[1].wait_line("the waypoint is missing: called without it", since=mark)
    assert mesh.ztunnels[1].counter("ambientd_missing_waypoints_total", action="passed",
                                    destination_service="lost.demo.svc.cluster.local", waypoint="demo/gone") >= 1


def test_the_switch_refuses_it(mesh):
    mesh.env["MISSING_WAYPOINT"] = "refuse"
    try:
        mesh.ztunnels[1].stop()
        mesh.start_ztunnel(1)
        mark = mesh.ztunnels[1].mark()
        with mesh.client.connect("10.88.0.82", 9000) as s:
            assert ended(s)
        mesh.ztunnels[1].wait_line("unknown waypoint: waypoint demo/gone not found", since=mark)
        assert mesh.ztunnels[1].counter("ambientd_missing_waypoints_total", action="refused",
                                        destination_service="lost.demo.svc.cluster.local") == 1
    finally:
        del mesh.env["MISSING_WAYPOINT"]
        mesh.ztunnels[1].stop()
        mesh.start_ztunnel(1)
