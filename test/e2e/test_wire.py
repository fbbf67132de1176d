# SPDX-License-Identifier: Apache-2.0
"""HBONE against another implementation (python3-h2): every header and answer as contract/ztunnel.md §5 says, and what a
peer can do wrong. Ours against ours would hide an error made on both sides."""
import re
import socket
import ssl

import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import pytest

import hbone_client
from harness import objects as k8s
from harness import standard
from harness.certificates import Authority
from harness.servers import Echo, ended, read_exactly
from hbone_client import HboneServer, Refused, Reset

GONE = (ssl.SSLError, OSError, EOFError, h2.exceptions.ProtocolError)
STRANGER = "spiffe://cluster.local/ns/demo/sa/stranger"
Codes = h2.settings.SettingCodes

pytestmark = pytest.mark.smoke


@pytest.fixture(scope="module")
def mesh(new_mesh):
    new_mesh.peer = new_mesh.pod(2, "demo/peer-0/peer", {"app": "peer"}, captured=False, enrolled=True)
    new_mesh.add(k8s.service("demo/peer", ["10.88.0.60"], {"app": "peer"}, standard.PORTS),
                 k8s.authorization("demo/closed", "DENY", [{"to": [{"operation": {"ports": ["9100"]}}]}], {"app": "far"}))
    mesh = standard.build(new_mesh, waypoint=False)
    with Echo(mesh.far, 9000), Echo(mesh.far, 8080):
        yield mesh


@pytest.fixture
def peer(mesh):
    """A Python HBONE server in a pod that configuration says speaks HBONE."""
    server = HboneServer(mesh.peer.listen(15008), mesh.authority.server_context(mesh.peer.identity))
    yield server
    server.close()


@pytest.fixture
def neighbour(mesh):
    """A tunnel of somebody else that has to survive what the test does."""
    connection = dial(mesh)
    tunnel = connection.connect(f"{mesh.far.ip}:9000")
    yield
    tunnel.sendall(b"still here")
    assert tunnel.recv() == b"still here"
    connection.close()


def dial(mesh, identity=STRANGER, target=None, authority=None):
    sock = mesh.stranger.connect((target or mesh.far).ip, 15008)
    return hbone_client.dial(sock, (authority or mesh.authority).client_context(identity))


def status_of(mesh, headers, end=False):
    connection = dial(mesh)
    try:
        return connection.response(connection.request(headers, end))[0]
    finally:
        connection.close()


def connect_status(mesh, authority):
    connection = dial(mesh)
    try:
        connection.connect(authority)
        return 200
    except Refused as refused:
        assert refused.headers == [(":status", str(refused.status))]
        return refused.status
    finally:
        connection.close()


# What we send.

def connect_headers(mesh, peer, address, port=9000):
    with mesh.client.connect(address, port) as s:
        s.sendall(b"ping")
        assert read_exactly(s, 4) == b"ping"
        source = s.getsockname()
    (headers, certificate), = peer.wait_connect()
    return headers, source, certificate


def test_connect_headers_for_a_pod_address(mesh, peer):
    headers, source, _ = connect_headers(mesh, peer, mesh.peer.ip)
    assert headers[:-1] == [
        (":method", "CONNECT"), (":authority", f"{mesh.peer.ip}:9000"),
        ("baggage", "k8s.cluster.name=Kubernetes,k8s.namespace.name=demo,k8s.pod.name=client-0,service.name=client,"
                    "service.version=latest,cloud.region=r1,cloud.availability_zone=z1"),
        ("forwarded", f'for="{source[0]}:{source[1]}"')]
    assert headers[-1][0] == "traceparent" and re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-00", headers[-1][1])


def test_connect_headers_for_a_service_address(mesh, peer):
    headers, source, _ = connect_headers(mesh, peer, "10.88.0.60", 80)
    assert dict(headers)[":authority"] == f"{mesh.peer.ip}:8080"
    assert dict(headers)["forwarded"] == f'for="{source[0]}:{source[1]}";host=peer.demo.svc.cluster.local'


def test_connect_headers_for_an_ipv6_address(mesh, peer):
    headers, source, _ = connect_headers(mesh, peer, mesh.peer.ip6)
    assert dict(headers)[":authority"] == f"[{mesh.peer.ip6}]:9000"
    assert dict(headers)["forwarded"] == f'for="[{source[0]}]:{source[1]}"'


def test_the_client_certificate_is_the_source_workloads(mesh, peer):
    _, _, certificate = connect_headers(mesh, peer, mesh.peer.ip)
    assert certificate["subjectAltName"] == (("URI", mesh.client.identity),)


def test_client_settings(mesh, peer):
    connect_headers(mesh, peer, mesh.peer.ip)
    settings = peer.settings[0]
    assert settings[Codes.ENABLE_PUSH] == 0
    assert settings[Codes.MAX_FRAME_SIZE] == 1 << 20
    assert settings[Codes.MAX_HEADER_LIST_SIZE] == 16384
    assert 256 << 10 <= settings[Codes.INITIAL_WINDOW_SIZE] <= 4 << 20


def test_server_settings(mesh):
    connection = dial(mesh)
    connection.connect(f"{mesh.far.ip}:9000")
    settings = connection.peer_settings
    assert settings[Codes.MAX_CONCURRENT_STREAMS] == 200
    assert settings[Codes.MAX_FRAME_SIZE] == 1 << 20
    assert settings[Codes.MAX_HEADER_LIST_SIZE] == 65536
    assert 256 << 10 <= settings[Codes.INITIAL_WINDOW_SIZE] <= 4 << 20
    assert connection.h2.outbound_flow_control_window > 1 << 20
    connection.close()


def test_connections_of_one_pod_share_one_hbone_connection(mesh, peer):
    sockets = [mesh.client.connect(mesh.peer.ip, 9000) for _ in range(20)]
    for s in sockets:
        s.sendall(b"x")
        assert read_exactly(s, 1) == b"x"
        s.close()
    assert len(peer.wait_connect(20)) == 20 and len(peer.settings) == 1


def test_a_peer_with_another_identity_is_not_believed(mesh):
    other = HboneServer(mesh.peer.listen(15008), mesh.authority.server_context(mesh.other.identity))
    mark = mesh.ztunnels[1].mark()
    try:
        with mesh.client.connect(mesh.peer.ip, 9000) as s:
            assert ended(s)
        error = mesh.ztunnels[1].connection(since=mark, direction="outbound")["error"]
        assert mesh.peer.identity in error and mesh.other.identity in error
        assert not other.connects
    finally:
        other.close()


@pytest.mark.parametrize("status", ["401", "503", "400"])
def test_a_refused_connect_ends_the_apps_connection_and_is_logged(mesh, status):
    refusing = HboneServer(mesh.peer.listen(15008), mesh.authority.server_context(mesh.peer.identity),
                           answer=lambda headers: [(":status", status)])
    mark = mesh.ztunnels[1].mark()
    try:
        with mesh.client.connect(mesh.peer.ip, 9000) as s:
            assert ended(s)
        record = mesh.ztunnels[1].connection(since=mark, direction="outbound")
        assert record["level"] == "error" and record["error"].startswith(f"http status: {status} ")
    finally:
        refusing.close()


# What we answer.

def test_a_tunnel_carries_bytes_and_half_close(mesh):
    connection = dial(mesh)
    tunnel = connection.connect(f"{mesh.far.ip}:9000", [("baggage", "service.name=x"), ("forwarded", 'for="1.2.3.4:5"')])
    assert tunnel.headers[0] == (":status", "200")
    tunnel.sendall(b"z" * 3_000_000)
    tunnel.finish()
    assert tunnel.read_all() == b"z" * 3_000_000
    connection.close()


def test_the_answer_carries_the_destinations_baggage(mesh):
    connection = dial(mesh)
    tunnel = connection.connect(f"{mesh.far.ip}:9000")
    assert tunnel.headers == [(":status", "200"), (
        "baggage", "k8s.cluster.name=Kubernetes,k8s.namespace.name=demo,k8s.pod.name=far-0,service.name=far,"
        "service.version=latest,cloud.region=r1,cloud.availability_zone=z1")]
    connection.close()


@pytest.mark.parametrize("authority, status", [
    ("{far}:9000", 200), ("far.demo.svc.cluster.local:80", 200), ("[{far6}]:9000", 400), ("{near}:9000", 400),
    ("{far}:9999", 503), ("{far}:15008", 503), ("{far}:15006", 503), ("{far}:15001", 503), ("{far}:9100", 401),
    ("{far}", 400), ("nowhere.demo.svc.cluster.local:80", 503), ("far.demo.svc.cluster.local:81", 503),
    ("{far}:70000", 400), ("{far}:0x50", 400), (":9000", 400)])
def test_status_of_a_connect(mesh, neighbour, authority, status):
    assert connect_status(mesh, authority.format(far=mesh.far.ip, far6=mesh.far.ip6, near=mesh.near.ip)) == status


def test_a_get_is_answered_with_400(mesh, neighbour):
    assert status_of(mesh, [(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", "x")], True) == 400


@pytest.mark.parametrize("extra", [(":path", "/"), (":scheme", "https")])
def test_a_connect_with_a_path_or_a_scheme_is_reset(mesh, neighbour, extra):
    connection = dial(mesh)
    stream = connection.request([(":method", "CONNECT"), (":authority", f"{mesh.far.ip}:9000"), extra])
    with pytest.raises(Reset) as reset:
        connection.response(stream)
    assert reset.value.code == h2.errors.ErrorCodes.PROTOCOL_ERROR
    connection.close()


def test_one_refused_stream_leaves_the_others_of_its_connection_alone(mesh):
    connection = dial(mesh)
    good = connection.connect(f"{mesh.far.ip}:9000")
    with pytest.raises(Refused):
        connection.connect(f"{mesh.far.ip}:9999")
    good.sendall(b"alive")
    assert good.recv() == b"alive"
    connection.close()


@pytest.mark.parametrize("value", ["", "00", "0" * 55, "00-" + "g" * 32 + "-" + "0" * 16 + "-00", "x" * 8000])
def test_a_malformed_traceparent_or_baggage_is_ignored(mesh, neighbour, value):
    connection = dial(mesh)
    tunnel = connection.connect(f"{mesh.far.ip}:9000", [("traceparent", value), ("baggage", value), ("forwarded", value)])
    tunnel.sendall(b"ok")
    assert tunnel.recv() == b"ok"
    connection.close()


# Who may speak to us at all.

@pytest.mark.parametrize("data", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x00" * 4096, b"\x16\x03\x01\xff\xff" + b"A" * 70000,
                                  b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
                         ids=["nothing", "http1", "zeros", "bad-client-hello", "preface-in-clear"])
def test_garbage_on_15008_is_dropped(mesh, neighbour, data):
    with mesh.stranger.connect(mesh.far.ip, 15008) as s:
        try:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            while s.recv(4096):
                pass
        except OSError:  # it may be gone already
            pass


def refused_by_tls(mesh, identity, authority=None):
    with pytest.raises(GONE):
        dial(mesh, identity, authority=authority).connect(f"{mesh.far.ip}:9000")


def test_no_client_certificate_is_refused(mesh, neighbour):
    mark = mesh.ztunnels[2].mark()
    refused_by_tls(mesh, None)
    record = mesh.ztunnels[2].connection(since=mark, direction="inbound", error=lambda e: e)
    assert record["message"] == "connection failed" and record["level"] == "warn"
    assert record["src.addr"].startswith(mesh.stranger.ip) and record["dst.addr"] == f"{mesh.far.ip}:15008"


def test_another_trust_domain_is_refused(mesh, neighbour):
    refused_by_tls(mesh, "spiffe://elsewhere.example/ns/demo/sa/stranger")


def test_a_trust_domain_that_only_begins_alike_is_refused(mesh, neighbour):
    refused_by_tls(mesh, "spiffe://cluster.local.example/ns/demo/sa/stranger")


def test_a_certificate_of_another_root_is_refused(mesh, neighbour, tmp_path):
    other = Authority(tmp_path / "other")
    other.cert.write_text(other.cert.read_text() + mesh.authority.cert.read_text())  # it believes us, we not it
    refused_by_tls(mesh, STRANGER, _Mixed(mesh.authority, other))


def test_two_uri_names_in_one_certificate_are_refused(mesh, neighbour):
    identity = "spiffe://cluster.local/ns/demo/sa/twofold"
    mesh.authority.leaf(identity, "URI:spiffe://cluster.local/ns/istio-system/sa/admin")
    refused_by_tls(mesh, identity)


class _Mixed:
    """Trusts one root, shows a leaf of another."""

    def __init__(self, trusted, signer):
        self.trusted, self.signer = trusted, signer

    def client_context(self, identity):
        context = self.trusted.client_context()
        context.load_cert_chain(*self.signer.leaf(identity))
        return context


@pytest.mark.limit(60)
def test_many_bad_peers_do_not_use_up_the_proxy(mesh, neighbour):
    before = mesh.ztunnels[2].process.rss()
    for _ in range(300):
        with mesh.stranger.connect(mesh.far.ip, 15008) as s:
            s.sendall(b"\x16\x03\x01\x02\x00")
    assert mesh.ztunnels[2].process.rss() - before < 32 << 20


def test_headers_beyond_the_announced_size_do_not_reach_the_app(mesh, neighbour):
    connection = dial(mesh)
    with pytest.raises((Refused, Reset, *GONE)):
        connection.connect(f"{mesh.far.ip}:9000", [(f"x-{i}", "v" * 4000) for i in range(40)])
    connection.close()
