# SPDX-License-Identifier: Apache-2.0
"""An address that goes from one pod to another: tunnels to the first are not given to who asks for the second."""
import contextlib
import socket

import pytest

from harness import objects as k8s
from harness import standard
from harness.servers import read_exactly
from hbone_client import HboneServer

SUCCESSOR = "spiffe://cluster.local/ns/demo/sa/successor"


@pytest.fixture(scope="module")
def mesh(new_mesh):
    new_mesh.peer = new_mesh.pod(2, "demo/peer-0/peer", {"app": "peer"}, captured=False, enrolled=True)
    return standard.build(new_mesh, waypoint=False)


def as_seen(mesh, pod):
    """The objects of the mesh with another Pod object (or none) in the place of peer."""
    return [o for o in mesh.base() if o["metadata"]["name"] != mesh.peer.name] + mesh.objects + ([pod] if pod else [])


def successor(mesh):
    pod = k8s.pod(mesh.peer)
    pod["metadata"]["name"] = "successor-0"
    pod["spec"]["serviceAccountName"] = "successor"
    return pod


def echoes(s):
    s.sendall(b"ping")
    assert read_exactly(s, 4) == b"ping"


@contextlib.contextmanager
def serving(mesh, identity):
    server = HboneServer(mesh.peer.listen(15008), mesh.authority.server_context(identity))
    try:
        yield server
    finally:
        server.close()


def stop_listening(server):
    """What is open stays open, as with a pod that is terminating."""
    server.listener.shutdown(socket.SHUT_RDWR)
    server.listener.close()


def test_an_address_with_another_identity_gets_a_connection_of_its_own(mesh):
    with serving(mesh, mesh.peer.identity) as before:
        with mesh.client.connect(mesh.peer.ip, 9000) as s:
            echoes(s)
            stop_listening(before)
            with mesh.edited(objects=as_seen(mesh, successor(mesh))), serving(mesh, SUCCESSOR) as after:
                with mesh.client.connect(mesh.peer.ip, 9000) as t:
                    echoes(t)
                assert len(after.connects) == 1 and len(before.connects) == 1
                echoes(s)  # it was made to the first, and ends with it
                assert before.wait_goaway().error_code == 0


def test_the_first_pod_is_not_believed_to_be_the_second(mesh):
    with serving(mesh, mesh.peer.identity) as impostor:
        with mesh.edited(objects=as_seen(mesh, successor(mesh))):
            mark = mesh.ztunnels[1].mark()
            with mesh.client.connect(mesh.peer.ip, 9000) as s:
                assert s.recv(1) == b""
            assert "did not present the expected SAN" in mesh.ztunnels[1].connection(since=mark, direction="outbound")["error"]
        assert not impostor.connects


def test_a_pod_that_comes_back_under_its_name_and_address_gets_a_new_connection(mesh):
    with serving(mesh, mesh.peer.identity) as before:
        with mesh.client.connect(mesh.peer.ip, 9000) as s:
            echoes(s)
        stop_listening(before)
        with mesh.edited(objects=as_seen(mesh, None)):
            assert before.wait_goaway().error_code == 0
        with serving(mesh, mesh.peer.identity) as after, mesh.client.connect(mesh.peer.ip, 9000) as s:
            echoes(s)
            assert len(after.connects) == 1 and len(before.connects) == 1
