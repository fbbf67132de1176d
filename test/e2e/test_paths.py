# SPDX-License-Identifier: Apache-2.0
"""Bytes of an app through the node proxies: every path, both families, and what the logs say of it."""
import socket

import pytest

from harness import standard
from harness.servers import Echo, Greeter, LastWord, ended, read_exactly
from harness.standard import VIP

FAMILIES = ["ip", "ip6"]
PATHS = [("client", "near"), ("client", "far"), ("client", "legacy"), ("stranger", "near"), ("stranger", "far")]

pytestmark = pytest.mark.smoke


@pytest.fixture(scope="module")
def mesh(new_mesh):
    return standard.build(new_mesh, waypoint=False)


@pytest.fixture(scope="module")
def echoes(mesh):
    servers = {name: Echo(getattr(mesh, name), 9000) for name in ("near", "far", "legacy")}
    yield servers
    for server in servers.values():
        server.close()


def exchange(source, address, port=9000, data=b"hello over the mesh"):
    with source.connect(address, port) as s:
        s.sendall(data)
        assert read_exactly(s, len(data)) == data
        s.shutdown(socket.SHUT_WR)
        assert s.recv(1) == b""


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("source, target", PATHS)
def test_a_pod_address_is_reached(mesh, echoes, source, target, family):
    exchange(getattr(mesh, source), getattr(getattr(mesh, target), family))


@pytest.mark.parametrize("family", [0, 1])
@pytest.mark.parametrize("target", ["near", "far", "legacy"])
def test_a_service_address_is_reached(mesh, echoes, target, family):
    exchange(mesh.client, VIP[target][family])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("source, target", PATHS)
def test_the_app_sees_the_address_of_the_client(mesh, echoes, source, target, family):
    server = echoes[target]
    before = len(server.peers)
    exchange(getattr(mesh, source), getattr(getattr(mesh, target), family))
    if target != "legacy":  # outside the mesh nothing stands between
        assert server.peers[before:] == [getattr(getattr(mesh, source), family)]


def test_both_ztunnels_log_a_connection_across_nodes(mesh, echoes):
    marks = [mesh.ztunnels[1].mark(), mesh.ztunnels[2].mark()]
    exchange(mesh.client, VIP["far"][0], data=b"x" * 1000)
    out = mesh.ztunnels[1].connection(since=marks[0], direction="outbound", bytes_sent="1000")
    into = mesh.ztunnels[2].connection(since=marks[1], direction="inbound", bytes_sent="1000")
    common = {"level": "info", "message": "connection complete", "src.workload": "client-0", "src.namespace": "demo",
              "src.identity": mesh.client.identity, "src.cluster": "Kubernetes", "dst.workload": "far-0",
              "dst.namespace": "demo", "dst.identity": mesh.far.identity, "dst.cluster": "Kubernetes",
              "dst.addr": f"{mesh.far.ip}:15008", "dst.hbone_addr": f"{mesh.far.ip}:9000",
              "dst.service": "far.demo.svc.cluster.local", "bytes_sent": "1000", "bytes_recv": "1000"}
    for record in (out, into):
        assert {key: record.get(key) for key in common} == common
        assert record["src.addr"].startswith(mesh.client.ip + ":")
        assert record["duration"].endswith("ms")


def test_the_fields_of_a_log_line_are_in_the_contracts_order(mesh, echoes):
    mark = mesh.ztunnels[1].mark()
    exchange(mesh.client, VIP["far"][0])
    record = mesh.ztunnels[1].connection(since=mark, direction="outbound", dst__service="far.demo.svc.cluster.local")
    assert list(record)[2:] == [
        "src.addr", "src.workload", "src.namespace", "src.identity", "src.cluster", "dst.addr", "dst.hbone_addr",
        "dst.service", "dst.workload", "dst.namespace", "dst.identity", "dst.cluster", "direction", "bytes_sent",
        "bytes_recv", "duration"]


@pytest.mark.parametrize("source, target, node, direction", [("client", "legacy", 1, "outbound"),
                                                             ("stranger", "near", 1, "inbound")])
def test_plaintext_has_no_identity_in_the_log(mesh, echoes, source, target, node, direction):
    mark = mesh.ztunnels[node].mark()
    exchange(getattr(mesh, source), getattr(mesh, target).ip)
    record = mesh.ztunnels[node].connection(since=mark, direction=direction,
                                            dst__addr=f"{getattr(mesh, target).ip}:9000")
    assert "src.identity" not in record and "dst.identity" not in record and "dst.hbone_addr" not in record
    assert record["dst.addr"] == f"{getattr(mesh, target).ip}:9000"


def test_half_close_lets_the_answer_come_after_the_end(mesh):
    with LastWord(mesh.far, 9001), mesh.client.connect(mesh.far.ip, 9001) as s:
        s.sendall(b"y" * 100_000)
        s.shutdown(socket.SHUT_WR)
        assert read_exactly(s, 6) == b"100000"


def test_a_server_that_speaks_first_is_heard(mesh):
    with Greeter(mesh.far, 9002), mesh.client.connect(mesh.far.ip, 9002) as s:
        assert read_exactly(s, len(Greeter.banner)) == Greeter.banner


def test_a_closed_port_ends_the_connection_and_both_sides_say_why(mesh):
    marks = [mesh.ztunnels[1].mark(), mesh.ztunnels[2].mark()]
    with mesh.client.connect(mesh.far.ip, 9999) as s:
        assert ended(s)
    closed = f"{mesh.far.ip}:9999"
    out = mesh.ztunnels[1].connection(since=marks[0], direction="outbound", dst__hbone_addr=closed)
    into = mesh.ztunnels[2].connection(since=marks[1], direction="inbound", dst__hbone_addr=closed)
    assert out["level"] == into["level"] == "error"
    assert out["error"] == "http status: 503 Service Unavailable"
    assert "refused" in into["error"].lower()


def test_tcp_metrics_count_both_sides(mesh, echoes):
    def opened(node, reporter):
        return mesh.ztunnels[node].counter("istio_tcp_connections_opened_total", reporter=reporter,
                                           source_workload="client-0", destination_workload="far-0",
                                           connection_security_policy="mutual_tls", response_flags="-")
    before = opened(1, "source"), opened(2, "destination")
    marks = [mesh.ztunnels[1].mark(), mesh.ztunnels[2].mark()]
    exchange(mesh.client, VIP["far"][0])
    mesh.ztunnels[1].connection(since=marks[0], direction="outbound")
    mesh.ztunnels[2].connection(since=marks[1], direction="inbound")
    assert (opened(1, "source"), opened(2, "destination")) == (before[0] + 1, before[1] + 1)


def test_a_call_to_a_port_of_the_proxy_itself_is_refused_and_harms_nothing(mesh, echoes):
    for port in (15001, 15006, 15008):
        for address in (mesh.client.ip, mesh.near.ip, mesh.far.ip):
            try:
                with mesh.client.connect(address, port, timeout=5) as s:
                    s.sendall(b"GET / HTTP/1.1\r\n\r\n")
                    assert not s.recv(1000).startswith(b"HTTP/1.1 200")
            except (ConnectionError, TimeoutError) as error:
                assert not isinstance(error, TimeoutError), f"{address}:{port} hangs"
    exchange(mesh.client, mesh.far.ip)


def test_the_admin_port_shows_workloads_services_and_certificates(mesh, echoes):
    dump = mesh.ztunnels[1].dump()
    assert {w["name"] for w in dump["workloads"]} >= {"client-0", "far-0", "legacy-0"}
    far = next(s for s in dump["services"] if s["hostname"] == "far.demo.svc.cluster.local")
    assert far["vips"] == ["/10.88.0.20", "/fd00:88::20"] and far["ports"] == {"80": 8080, "9000": 9000}
    assert mesh.client.identity in {c["identity"] for c in dump["certificates"]}


def test_readiness_names_nothing_pending_and_refuses_other_methods(mesh):
    assert mesh.ztunnels[1].get(15021, "/healthz/ready") == (200, "ready\n")
    assert mesh.ztunnels[1].get(15021, "/healthz/ready", "POST")[0] == 405
    assert mesh.ztunnels[1].get(15021, "/nothing")[0] == 404
