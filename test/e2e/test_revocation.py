# SPDX-License-Identifier: Apache-2.0
"""Revocation lists, made with the openssl program: refused in the handshake, cut while open, and what an operator can do
wrong with the file."""
import ssl

import h2.exceptions
import pytest

import hbone_client
from harness import objects as k8s
from harness import standard
from harness.process import BINARY, run
from harness.servers import Echo, ended, read_exactly
from hbone_client import HboneServer

GONE = (ssl.SSLError, OSError, EOFError, h2.exceptions.ProtocolError)


@pytest.fixture(scope="module")
def mesh(new_mesh):
    new_mesh.crl = new_mesh.place / "crl.pem"
    new_mesh.authority.revoke(new_mesh.crl)
    new_mesh.env = {"CRL_PATH": str(new_mesh.crl), "TLS12_ENABLED": "true"}
    new_mesh.peer = new_mesh.pod(2, "demo/peer-0/peer", {"app": "peer"}, captured=False, enrolled=True)
    mesh = standard.build(new_mesh)
    with Echo(mesh.far, 9000):
        yield mesh


@pytest.fixture(autouse=True)
def nobody_is_revoked_afterwards(mesh):
    yield
    reload(mesh)


def reload(mesh, *identities):
    """A list with these leaves of the harness in it, taken by every proxy."""
    marks = [(p, p.mark()) for p in mesh.proxies()]
    mesh.authority.revoke(mesh.crl, *identities)
    for proxy, mark in marks:
        proxy.wait_line("revocation lists reloaded", since=mark, timeout=10)


def dial(mesh, pod, identity):
    return hbone_client.dial(mesh.stranger.connect(pod.ip, 15008), mesh.authority.client_context(identity))


def opened(mesh, identity):
    connection = dial(mesh, mesh.far, identity)
    tunnel = connection.connect(f"{mesh.far.ip}:9000")
    echoes(tunnel)
    return connection, tunnel


def echoes(tunnel):
    tunnel.sendall(b"ping")
    assert tunnel.recv() == b"ping"


def cut(connection):
    """Whether the connection ends, by a GOAWAY or without one."""
    try:
        while connection.pump():
            pass
    except GONE:
        pass
    return True


BAD, GOOD = "spiffe://cluster.local/ns/demo/sa/bad", "spiffe://cluster.local/ns/demo/sa/good"


def test_a_revoked_client_is_refused_in_the_handshake(mesh):
    reload(mesh, BAD)
    mark = mesh.ztunnels[2].mark()
    with pytest.raises(GONE):
        opened(mesh, BAD)
    record = mesh.ztunnels[2].connection(since=mark, direction="inbound", message="connection failed")
    assert "revoked" in record["error"] and record["src.addr"].startswith(mesh.stranger.ip)
    assert mesh.ztunnels[2].counter("istio_crl_policy_rejections_total", reporter="destination") >= 1
    connection, _ = opened(mesh, GOOD)
    connection.close()


def test_a_revoked_server_is_refused_in_the_handshake(mesh):
    reload(mesh, mesh.peer.identity)
    server = HboneServer(mesh.peer.listen(15008), mesh.authority.server_context(mesh.peer.identity))
    mark = mesh.ztunnels[1].mark()
    try:
        with mesh.client.connect(mesh.peer.ip, 9000) as s:
            assert ended(s)
        assert "revoked" in mesh.ztunnels[1].connection(since=mark, direction="outbound")["error"]
        assert not server.connects
        assert mesh.ztunnels[1].counter("istio_tcp_connections_failed_total", response_flags="CERT_REVOKED") >= 1
    finally:
        server.close()


@pytest.mark.limit(40)
def test_an_open_connection_of_a_client_that_is_revoked_is_cut_and_no_other(mesh):
    bad, tunnel = opened(mesh, BAD)
    good, neighbour = opened(mesh, GOOD)
    mark = mesh.ztunnels[2].mark()
    reload(mesh, BAD)
    assert cut(bad)
    assert bad.goaway is not None and bad.goaway.error_code == 0
    record = mesh.ztunnels[2].connection(since=mark, direction="inbound", message="connection complete")
    assert record["error"] == "connection closed: peer certificate revoked by CRL"
    echoes(neighbour)
    good.close()


@pytest.mark.limit(40)
def test_an_open_connection_to_a_server_that_is_revoked_is_cut_and_no_other(mesh):
    server = HboneServer(mesh.peer.listen(15008), mesh.authority.server_context(mesh.peer.identity))
    mark = mesh.ztunnels[1].mark()
    try:
        with mesh.client.connect(mesh.peer.ip, 9000) as s, mesh.client.connect(mesh.far.ip, 9000) as other:
            for each in (s, other):
                each.sendall(b"ping")
                assert read_exactly(each, 4) == b"ping"
            reload(mesh, mesh.peer.identity)
            assert ended(s)
            record = mesh.ztunnels[1].connection(since=mark, direction="outbound", level="error")
            assert record["error"] == "connection closed: peer certificate revoked by CRL"
            other.sendall(b"ping")
            assert read_exactly(other, 4) == b"ping"
    finally:
        server.close()


def test_a_ztunnels_own_certificate_in_the_list_stops_its_pod_only(mesh):
    """The list names by serial number what the ztunnel signed for itself."""
    entry = next(c for c in mesh.ztunnels[1].dump()["certificates"] if c["identity"] == mesh.client.identity)
    with mesh.client.connect(mesh.far.ip, 9000) as s:
        s.sendall(b"ping")
        assert read_exactly(s, 4) == b"ping"
        reload(mesh, int(entry["certChain"][0]["serialNumber"]))
        assert ended(s)
    connection, _ = opened(mesh, GOOD)
    connection.close()


def test_a_waypoint_cuts_a_revoked_client_and_refuses_it(mesh):
    connection = dial(mesh, mesh.waypoint, BAD)
    connection.connect("10.88.0.40:80")
    reload(mesh, BAD)
    assert cut(connection)
    with pytest.raises(GONE):
        dial(mesh, mesh.waypoint, BAD).connect("10.88.0.40:80")
    dial(mesh, mesh.waypoint, GOOD).connect("10.88.0.40:80").connection.close()


@pytest.mark.limit(40)
def test_a_bad_edit_keeps_the_last_good_list_and_says_so_once(mesh):
    reload(mesh, BAD)
    mark = mesh.ztunnels[2].mark()
    mesh.crl.write_text("garbage\n")
    line = mesh.ztunnels[2].wait_line("revocation lists cannot be used", since=mark, timeout=10)
    assert "\terror\t" in line and "crl.pem: no revocation list in it" in line
    with pytest.raises(GONE):
        opened(mesh, BAD)
    connection, _ = opened(mesh, GOOD)
    connection.close()
    reload(mesh, BAD)  # two looks later: the former error was not repeated
    said = [x for x in mesh.ztunnels[2].lines.since(mark) if "cannot be used" in x]
    assert len(said) == 1


@pytest.mark.parametrize("text, words", [(None, ["No such file"]), ("garbage", ["no revocation list in it"])])
def test_without_a_usable_list_a_proxy_that_was_told_to_check_does_not_start(mesh, tmp_path, text, words):
    path = tmp_path / "crl.pem"
    if text:
        path.write_text(text)
    done = run([BINARY, "--mode=ztunnel", "--workload=demo/stranger-0/stranger", f"--config={mesh.config}",
                *mesh.identity_flags], mesh.stranger.netns, env={"CRL_PATH": str(path)})
    assert done.returncode == 1
    assert all(word in done.stderr for word in [str(path), "unset CRL_PATH", *words])


def test_tls_1_2_is_spoken_where_it_was_asked_for(mesh):
    context = mesh.authority.client_context(GOOD)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    connection = hbone_client.dial(mesh.stranger.connect(mesh.far.ip, 15008), context)
    assert connection.sock.version() == "TLSv1.2"
    echoes(connection.connect(f"{mesh.far.ip}:9000"))
    connection.close()
