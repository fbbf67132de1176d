# SPDX-License-Identifier: Apache-2.0
"""How a ztunnel goes: GOAWAY both ways, open tunnels finish, a deadline, and a second signal that ends it at once."""
import signal
import ssl
import time

import h2.exceptions
import pytest

import hbone_client
from harness import standard
from harness.servers import Echo, ended, read_exactly
from hbone_client import HboneServer

GONE = (ssl.SSLError, OSError, EOFError, h2.exceptions.ProtocolError)
STRANGER = "spiffe://cluster.local/ns/demo/sa/stranger"


@pytest.fixture(scope="module")
def mesh(new_mesh):
    new_mesh.env = {"CONNECTION_TERMINATION_DEADLINE": "3s"}
    new_mesh.peer = new_mesh.pod(2, "demo/peer-0/peer", {"app": "peer"}, captured=False, enrolled=True)
    mesh = standard.build(new_mesh, waypoint=False)
    with Echo(mesh.far, 9000):
        yield mesh


@pytest.fixture(autouse=True)
def both_run_afterwards(mesh):
    yield
    for node, ztunnel in list(mesh.ztunnels.items()):
        if not ztunnel.process.alive():
            ztunnel.process.wait()
            mesh.start_ztunnel(node)


def dial(mesh):
    sock = mesh.stranger.connect(mesh.far.ip, 15008)
    return hbone_client.dial(sock, mesh.authority.client_context(STRANGER))


def terminate(ztunnel):
    ztunnel.process.signal(signal.SIGTERM)
    ztunnel.wait_line("no new connections; those that are open may finish")


def until_goaway(connection):
    while connection.goaway is None:
        assert connection.pump(), "closed without a GOAWAY"


def test_peers_that_have_connections_open_to_us_are_told_and_finish(mesh):
    connection = dial(mesh)
    tunnel = connection.connect(f"{mesh.far.ip}:9000")
    terminate(mesh.ztunnels[2])
    until_goaway(connection)
    assert connection.goaway.error_code == 0
    tunnel.sendall(b"still here")
    assert tunnel.recv() == b"still here"
    with pytest.raises(OSError):
        mesh.stranger.connect(mesh.far.ip, 15008, timeout=2)
    tunnel.finish()
    assert tunnel.read_all() == b""
    assert mesh.ztunnels[2].process.wait() == 0


def test_peers_that_we_have_connections_open_to_are_told_and_calls_finish(mesh):
    server = HboneServer(mesh.peer.listen(15008), mesh.authority.server_context(mesh.peer.identity))
    try:
        with mesh.client.connect(mesh.peer.ip, 9000) as s:
            s.sendall(b"ping")
            assert read_exactly(s, 4) == b"ping"
            terminate(mesh.ztunnels[1])
            assert server.wait_goaway().error_code == 0
            s.sendall(b"more")
            assert read_exactly(s, 4) == b"more"
            with pytest.raises(OSError):
                mesh.client.connect(mesh.peer.ip, 9000, timeout=2)
        assert mesh.ztunnels[1].process.wait() == 0
    finally:
        server.close()


def test_what_has_not_finished_by_the_deadline_is_cut_and_says_so(mesh):
    connection = dial(mesh)
    tunnel = connection.connect(f"{mesh.far.ip}:9000")
    tunnel.sendall(b"x")
    assert tunnel.recv() == b"x"
    mark, began = mesh.ztunnels[2].mark(), time.monotonic()
    terminate(mesh.ztunnels[2])
    record = mesh.ztunnels[2].connection(since=mark, direction="inbound", timeout=8)
    assert 2.5 < time.monotonic() - began < 6
    assert record["error"] == "connection closed due to connection drain"
    with pytest.raises((hbone_client.Reset, *GONE)):
        while tunnel.recv():
            pass
        raise EOFError("an orderly end")
    assert mesh.ztunnels[2].process.wait() == 0
    assert time.monotonic() - began < 7


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(mesh, second):
    with mesh.client.connect(mesh.far.ip, 9000) as s:
        s.sendall(b"ping")
        assert read_exactly(s, 4) == b"ping"
        terminate(mesh.ztunnels[1])
        began = time.monotonic()
        mesh.ztunnels[1].process.signal(second)
        assert mesh.ztunnels[1].process.wait() == 0
        assert time.monotonic() - began < 1.5
        assert ended(s)
