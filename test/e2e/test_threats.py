# SPDX-License-Identifier: Apache-2.0
"""What a malicious neighbour tries: calls to the proxy's own ports, a proxy that is to reach what it must not (the
invariants of contract/threats.md §5.3), and claims in headers that nobody has proved."""
import contextlib
import socket
import ssl

import h2.exceptions
import pytest

import hbone_client
from harness import netns as ns
from harness import objects as k8s
from harness import standard
from harness.servers import Echo, ended, read_exactly
from hbone_client import HboneServer, Refused, Reset

GONE = (ssl.SSLError, OSError, EOFError, h2.exceptions.ProtocolError)
STRANGER = "spiffe://cluster.local/ns/demo/sa/stranger"
OWN_PORTS = (15000, 15001, 15006, 15008, 15020, 15021, 15053, 15080, 15088)
REFUSED_TUNNEL = (400, 503)


@pytest.fixture(scope="module")
def mesh(new_mesh):
    new_mesh.peer = new_mesh.pod(2, "demo/peer-0/peer", {"app": "peer"}, captured=False, enrolled=True)
    mesh = standard.build(new_mesh)
    with Echo(mesh.far, 9000), Echo(mesh.near, 9000), Echo(mesh.legacy, 9000):
        yield mesh


def dial(mesh, identity=STRANGER, pod=None):
    sock = (pod or mesh.stranger).connect(mesh.far.ip, 15008)
    return hbone_client.dial(sock, mesh.authority.client_context(identity))


def connect_status(mesh, authority, headers=()):
    connection = dial(mesh)
    try:
        connection.connect(authority, headers)
        return 200
    except Refused as refused:
        return refused.status
    finally:
        connection.close()


def reaches(source, address, port=9000, **options):
    try:
        with source.connect(address, port, **options) as s:
            s.sendall(b"ping")
            return s.recv(4) == b"ping"
    except OSError:
        return False


# Calls to our own ports (the matrix of contract/ztunnel.md §15 (19)).

def targets(mesh):
    return {"localhost": "127.0.0.1", "localhost6": "::1", "its own pod": mesh.client.ip, "its own pod6": mesh.client.ip6,
            "a pod here": mesh.near.ip, "a pod there": mesh.far.ip, "a pod there6": mesh.far.ip6,
            "a service": standard.VIP["far"][0], "an app outside": mesh.legacy.ip}


@pytest.mark.parametrize("port", OWN_PORTS)
def test_an_app_that_calls_a_port_of_the_proxy_gets_nothing(mesh, port):
    for name, address in targets(mesh).items():
        try:
            with mesh.client.connect(address, port, timeout=5) as s:
                s.sendall(b"GET /config_dump HTTP/1.1\r\nhost: x\r\n\r\n")
                assert s.recv(1000) == b"", f"{name} {address}:{port} answers"
        except TimeoutError:
            pytest.fail(f"{name} {address}:{port} hangs")
        except OSError:
            pass
    assert reaches(mesh.client, mesh.far.ip)


def test_of_the_ports_of_the_node_only_metrics_and_readiness_are_open_to_pods(mesh):
    node = "10.77.1.1"
    for port in (15000, 15001, 15006, 15008, 15053, 15080):
        with pytest.raises(OSError):
            with mesh.stranger.connect(node, port, timeout=5) as s:
                s.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
                if not s.recv(1):
                    raise ConnectionResetError
    for port, path in ((15020, "/metrics"), (15021, "/healthz/ready")):
        assert mesh.stranger.curl("-o", "/dev/null", "-w", "%{http_code}", f"http://{node}:{port}{path}").stdout == "200"
        assert mesh.stranger.curl("-o", "/dev/null", "-w", "%{http_code}", f"http://{node}:{port}/config_dump").stdout == "404"


# A tunnel leads to the pod it was sent to, and to none of the proxy's ports there (5.3 (4)).

@pytest.mark.parametrize("port", OWN_PORTS)
def test_no_tunnel_leads_to_a_port_of_the_proxy(mesh, port):
    assert connect_status(mesh, f"{mesh.far.ip}:{port}") == 503
    assert connect_status(mesh, f"far.demo.svc.cluster.local:{port}") in REFUSED_TUNNEL
    for address in ("127.0.0.1", "localhost", "[::1]", "0.0.0.0", "[::]", "10.77.2.1", "10.77.1.1", mesh.near.ip):
        assert connect_status(mesh, f"{address}:{port}") in REFUSED_TUNNEL, address


@pytest.mark.parametrize("address", [
    "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "169.254.169.254", "169.254.7.127", "10.77.2.1", "{near}", "{legacy}",
    "{other}", "10.88.0.20", "10.88.0.40", "far-0.demo.pod.cluster.local", "localhost", "127.1", "2130706433", "0x7f000001"])
def test_no_tunnel_leads_to_anybody_but_the_pod_it_was_sent_to(mesh, address):
    address = address.format(near=mesh.near.ip, legacy=mesh.legacy.ip, other=mesh.other.ip)
    mark = mesh.ztunnels[2].mark()
    assert connect_status(mesh, f"{address}:9000") in REFUSED_TUNNEL
    assert mesh.ztunnels[2].connection(since=mark, direction="inbound")["error"]


@pytest.mark.parametrize("authority", [
    "", ":", "@", "user@{far}:9000", "{far}:9000/", "{far}:9000?x", "{far} :9000", "{far}:9000 ", "{far}:+9000", "{far}:9000:9000",
    "{far}:", "[{far}]:9000", "{far}:099999999999", "{far}%eth0:9000", "[fe80::1%eth0]:9000", "{far}:0", "{far}:-1",
    "http://{far}:9000", "a" * 4000 + ":80", "\u00e9:80"])
def test_an_authority_that_is_none_is_refused(mesh, authority):
    try:
        assert connect_status(mesh, authority.format(far=mesh.far.ip)) in REFUSED_TUNNEL
    except (Reset, *GONE):
        pass
    assert connect_status(mesh, f"{mesh.far.ip}:9000") == 200


# What a peer says about itself is worth nothing (5.3 (5)).

def test_a_policy_on_addresses_and_identities_believes_no_header(mesh):
    rule = {"from": [{"source": {"ipBlocks": [mesh.client.ip + "/32"]}}, {"source": {"namespaces": ["trusted"]}},
                     {"source": {"principals": ["cluster.local/ns/demo/sa/client"]}}]}
    claims = [("forwarded", f'for="{mesh.client.ip}:1234";host=far.demo.svc.cluster.local'),
              ("baggage", "k8s.namespace.name=trusted,service.name=client"), ("x-forwarded-for", mesh.client.ip),
              ("x-istio-source", mesh.client.identity), ("x-forwarded-client-cert", f"URI={mesh.client.identity}"),
              ("x-forwarded-network", "elsewhere")]
    with mesh.edited(k8s.authorization("demo/trusted", "ALLOW", [rule], {"app": "far"})):
        assert connect_status(mesh, f"{mesh.far.ip}:9000", claims) == 401
        assert reaches(mesh.client, mesh.far.ip)


def test_no_byte_reaches_the_app_of_a_tunnel_that_is_refused(mesh):
    """CVE-2025-64763: data sent right behind the CONNECT."""
    seen = []

    class Recorder(Echo):
        def serve(self, connection):
            seen.append(connection.recv(100))

    with Recorder(mesh.far, 9200), mesh.edited(
            k8s.authorization("demo/no", "DENY", [{"to": [{"operation": {"ports": ["9200"]}}]}], {"app": "far"})):
        connection = dial(mesh)
        stream = connection.request([(":method", "CONNECT"), (":authority", f"{mesh.far.ip}:9200")])
        connection.h2.send_data(stream, b"early")
        connection.flush()
        assert connection.response(stream)[0] == 401
        connection.close()
    assert not seen


# One tunnel, one identity (5.3 (6)).

def test_two_pods_never_share_a_connection(mesh):
    server = HboneServer(mesh.peer.listen(15008), mesh.authority.server_context(mesh.peer.identity))
    try:
        for pod in (mesh.client, mesh.near, mesh.client, mesh.near):
            assert reaches(pod, mesh.peer.ip)
        certificates = [c["subjectAltName"][0][1] for _, c in server.wait_connect(4)]
        assert certificates == [mesh.client.identity, mesh.near.identity] * 2
        assert len(server.settings) == 2
    finally:
        server.close()


# Policies fail closed (5.3 (1), (2), (3), (8)).

def test_an_l7_rule_at_the_pods_ztunnel_allows_nothing(mesh):
    rule = {"to": [{"operation": {"methods": ["GET"]}}]}
    with mesh.edited(k8s.authorization("demo/l7", "ALLOW", [rule], {"app": "far"})):
        assert not reaches(mesh.client, mesh.far.ip)


def test_strict_leaves_no_way_round(mesh):
    with mesh.edited(k8s.peer_authentication("demo/default", "STRICT")):
        for address in (mesh.far.ip, mesh.far.ip6):
            assert not reaches(mesh.stranger, address)
            for port in (15001, 15006):  # not captured: straight to the listener
                assert not reaches(mesh.stranger, address, port)
        assert reaches(mesh.client, mesh.far.ip)


# Who has the address of the node's probes is let in past the capture, so nobody else may have it (5.3 (10)).

PROBES = ("169.254.7.127", "fd16:9254:7127:1337:ffff:ffff:ffff:ffff")


@contextlib.contextmanager
def has_probe_addresses(netns, device):
    ns.batch([f"addr add {a} dev {device}{' nodad' if ':' in a else ''}" for a in PROBES], netns)
    try:
        yield
    finally:
        ns.batch([f"addr del {a} dev {device}" for a in PROBES], netns)


def probes(netns, pod):
    """Whether the pod's application answers a caller in `netns` that has the addresses of probes, by address."""
    out = []
    for source, address in zip(PROBES, (pod.ip, pod.ip6)):
        family = socket.AF_INET6 if ":" in source else socket.AF_INET
        with ns.socket_in(netns, family, socket.SOCK_STREAM) as s:
            s.settimeout(1)
            try:
                s.bind((source, 0))
                s.connect((address, 9000))
                s.sendall(b"ping")
                out.append(s.recv(4) == b"ping")
            except OSError:
                out.append(False)
    return out


def test_a_neighbour_that_claims_the_address_of_probes_gets_nowhere(mesh):
    node = mesh.ztunnels[1].netns
    with mesh.edited(k8s.peer_authentication("demo/default", "STRICT")):
        with has_probe_addresses(mesh.stranger.netns, "eth0"):
            assert not any(probes(mesh.stranger.netns, mesh.near) + probes(mesh.stranger.netns, mesh.far))
            with has_probe_addresses(node, "lo"):
                assert not any(probes(mesh.stranger.netns, mesh.near))
        with has_probe_addresses(node, "lo"):
            assert all(probes(node, mesh.near)), "kubelet's probes, by the node they come from"


# A node asks for the identities of its own pods only (5.3 (9)).

def test_a_ztunnel_holds_certificates_of_the_pods_it_serves_and_of_no_other(mesh):
    for source in (mesh.client, mesh.near):
        assert reaches(source, mesh.far.ip) and reaches(source, mesh.near.ip)
    served = {1: {mesh.client.identity, mesh.near.identity}, 2: {mesh.far.identity, mesh.other.identity}}
    for index, identities in served.items():
        held = {c["identity"] for c in mesh.ztunnels[index].dump()["certificates"]}
        assert held and held <= identities


@pytest.mark.parametrize("spec", [{"action": "DENY", "rules": [{}], "surprise": 1},
                                  {"action": "DENY", "rules": [{"from": [{"source": {"principalz": ["a"]}}]}]},
                                  {"action": "MAYBE", "rules": [{}]}])
def test_a_policy_that_is_not_understood_is_never_half_enforced(mesh, spec):
    """The whole edit is refused: what was in force stays."""
    policy = k8s.authorization("demo/odd", "ALLOW", [], {"app": "far"}) | {"spec": spec}
    marks = [(z, z.mark()) for z in mesh.ztunnels.values()]
    try:
        k8s.write(mesh.config, mesh.base() + mesh.objects + [policy])
        for ztunnel, mark in marks:
            ztunnel.wait_line("rejected, the last good configuration stays", since=mark)
        assert reaches(mesh.client, mesh.far.ip)
    finally:
        mesh.apply(k8s.namespace("changed"))
        mesh.apply()
