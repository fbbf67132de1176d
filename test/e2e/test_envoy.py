# SPDX-License-Identifier: Apache-2.0
"""Envoy at the other end: ours against ours would hide an error made on both sides."""
import socket
import threading

import pytest

from harness import envoy, standard
from harness.servers import Bulk, Echo, LastWord, Origin, checksum, drain, ended, pour, read_exactly
from harness.standard import VIP

SIZE = 64 << 20


@pytest.fixture(scope="module")
def mesh(new_mesh):
    envoy.install()
    new_mesh.peer = new_mesh.pod(2, "demo/peer-0/peer", {"app": "peer"}, captured=False, enrolled=True)
    mesh = standard.build(new_mesh)
    authority, far, web = mesh.authority, mesh.far, VIP["web"][0]
    tunnels = {10000: (far.ip, far.identity, f"{far.ip}:9000"), 10001: (far.ip, far.identity, f"{far.ip}:9999"),
               10002: (mesh.waypoint.ip, mesh.waypoint.identity, f"{web}:80"),
               10003: (far.ip, mesh.near.identity, f"{far.ip}:9000")}
    client = envoy.start(mesh.stranger, envoy.client(authority, mesh.stranger.identity, tunnels), mesh.place)
    server = envoy.start(mesh.peer, envoy.server(authority, mesh.peer.identity, 9000), mesh.place)
    yield mesh
    client.kill()
    server.kill()


WAYS = [("as the client", "stranger", lambda m: ("127.0.0.1", 10000), "far"),
        ("as the server", "client", lambda m: (m.peer.ip, 9000), "peer")]
IDS = [way[0] for way in WAYS]


@pytest.mark.parametrize("_, source, address, app", WAYS, ids=IDS)
def test_bytes_and_half_close(mesh, _, source, address, app):
    with LastWord(getattr(mesh, app), 9000), getattr(mesh, source).connect(*address(mesh)) as s:
        s.sendall(b"x" * 300_000)
        s.shutdown(socket.SHUT_WR)
        assert read_exactly(s, 6) == b"300000"


@pytest.mark.limit(60)
@pytest.mark.parametrize("_, source, address, app", WAYS, ids=IDS)
def test_bulk_both_ways_at_once(mesh, _, source, address, app):
    # An Envoy that terminates a CONNECT closes it whole when its application ends first ("half_close_initiated_full_close").
    with Bulk(getattr(mesh, app), 9000, SIZE, ends_last=True) as server, getattr(mesh, source).connect(*address(mesh), timeout=50) as s:
        sent = []
        sender = threading.Thread(target=lambda: sent.append(pour(s, SIZE, b"client")), daemon=True)
        sender.start()
        assert drain(s) == (SIZE, checksum(SIZE, b"server"))
        sender.join()
        assert server.took() == [(SIZE, sent[0])]


@pytest.mark.parametrize("_, source, address, app", WAYS, ids=IDS)
def test_many_connections_at_once(mesh, _, source, address, app):
    with Echo(getattr(mesh, app), 9000):
        sockets = [getattr(mesh, source).connect(*address(mesh)) for _ in range(150)]
        for i, s in enumerate(sockets):
            s.sendall(b"%06d" % i)
        for i, s in enumerate(sockets):
            assert read_exactly(s, 6) == b"%06d" % i
            s.close()


def test_envoy_takes_our_503_as_a_failed_tunnel(mesh):
    with mesh.stranger.connect("127.0.0.1", 10001) as s:
        assert ended(s)


def test_envoy_refuses_us_when_we_are_not_whom_it_expects(mesh):
    with mesh.stranger.connect("127.0.0.1", 10003) as s:
        assert ended(s)


def test_envoy_reaches_a_service_through_our_waypoint(mesh):
    with Origin(mesh.near, 8080), Origin(mesh.far, 8080):
        done = mesh.stranger.curl("-i", "http://127.0.0.1:10002/from-envoy")
        assert "200 OK" in done.stdout and "server: istio-envoy" in done.stdout and '"/from-envoy"' in done.stdout
