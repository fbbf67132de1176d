# SPDX-License-Identifier: Apache-2.0
"""Processes that die: what was open ends, and new connections work once a process is back, without touching the others."""
import signal
import socket

import pytest

from harness import standard
from harness.servers import Echo, Origin, ended, read_exactly
from harness.standard import VIP


@pytest.fixture(scope="module")
def mesh(new_mesh):
    mesh = standard.build(new_mesh)
    servers = [cls(pod, port) for pod in (mesh.near, mesh.far) for cls, port in ((Echo, 9000), (Origin, 8080))]
    yield mesh
    for server in servers:
        server.close()


def works(mesh, service):
    with mesh.client.connect(VIP[service][0], 9000) as s:
        s.sendall(b"ping")
        assert read_exactly(s, 4) == b"ping"
    done = mesh.client.curl("-o", "/dev/null", "-w", "%{http_code}", f"http://{VIP[service][0]}/")
    assert done.stdout == "200", done.stderr


def opened(mesh, service="web"):
    s = mesh.client.connect(VIP[service][0], 9000)
    s.sendall(b"ping")
    assert read_exactly(s, 4) == b"ping"
    return s


@pytest.mark.parametrize("victim", ["source ztunnel", "destination ztunnel", "waypoint"])
def test_kill_9_ends_what_was_open_and_a_restart_serves_again(mesh, victim):
    works(mesh, "web")
    with opened(mesh) as s:
        if victim == "waypoint":
            mesh.waypoints["waypoint-0"].kill()
            assert ended(s)
            mesh.start_waypoint(mesh.waypoint)
        else:
            node = 1 if victim.startswith("source") else 2
            t = opened(mesh, "far")
            mesh.ztunnels[node].kill()
            assert ended(t)
            t.close()
            mesh.start_ztunnel(node)
    works(mesh, "web")
    works(mesh, "far")


def failed(mesh, service):
    """Why a connection that is over at once failed."""
    mark = mesh.ztunnels[1].mark()
    with mesh.client.connect(VIP[service][0], 9000) as s:
        assert ended(s)
    return mesh.ztunnels[1].connection(since=mark, direction="outbound", level="error")["error"].lower()


def test_while_the_destination_ztunnel_is_gone_connections_fail_at_once_and_say_why(mesh):
    works(mesh, "far")
    mesh.ztunnels[2].kill()
    try:
        # A call may take a kept connection whose end has not been read yet, one for each of the two workers.
        whys = [failed(mesh, "far") for _ in range(3)]
        assert "refused" in whys[-1], whys
    finally:
        mesh.start_ztunnel(2)
    works(mesh, "far")


def test_while_the_waypoint_is_gone_the_service_fails_closed(mesh):
    mesh.waypoints["waypoint-0"].kill()
    try:
        with mesh.client.connect(VIP["web"][0], 9000) as s:
            assert ended(s)
    finally:
        mesh.start_waypoint(mesh.waypoint)
    works(mesh, "web")


def test_while_the_source_ztunnel_is_gone_nothing_leaves_in_plaintext(mesh):
    mesh.ztunnels[1].kill()
    try:
        with pytest.raises(ConnectionRefusedError):
            mesh.client.connect(mesh.far.ip, 9000)
    finally:
        mesh.start_ztunnel(1)
    works(mesh, "far")


def test_an_app_that_dies_ends_its_connection_only(mesh):
    with Echo(mesh.far, 9001) as dying, opened(mesh, "far") as other:
        with mesh.client.connect(mesh.far.ip, 9001) as s:
            s.sendall(b"ping")
            assert read_exactly(s, 4) == b"ping"
            dying.close()
            assert ended(s)
        other.sendall(b"ping")
        assert read_exactly(other, 4) == b"ping"


def test_sigterm_lets_an_open_connection_finish_and_takes_no_new_ones(mesh):
    with opened(mesh, "far") as s:
        mesh.ztunnels[1].process.signal(signal.SIGTERM)
        mesh.ztunnels[1].wait_line("(?i)drain|shutdown|terminat")
        s.sendall(b"more")
        assert read_exactly(s, 4) == b"more"
        with pytest.raises(OSError):
            mesh.client.connect(VIP["far"][0], 9000, timeout=2)
        s.shutdown(socket.SHUT_WR)
        assert ended(s)
    assert mesh.ztunnels[1].process.wait() == 0
    mesh.start_ztunnel(1)
    works(mesh, "far")
