# SPDX-License-Identifier: Apache-2.0
"""Peers that are slow on purpose, or half there: they are shed by time and by number, and nobody else notices."""
import contextlib
import functools
import resource
import select
import ssl
import threading
import time

import pytest

import hbone_client
from harness import standard
from harness.servers import Echo, ended, read_exactly

STRANGER = "spiffe://cluster.local/ns/demo/sa/stranger"
NOTICED = 5  # seconds: what an application would call an outage
CLIENT_HELLO_BEGINS = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"


@pytest.fixture(scope="module")
def mesh(new_mesh):
    new_mesh.gone = new_mesh.pod(2, "demo/gone-0/gone", {"app": "gone"}, captured=False, enrolled=True)
    mesh = standard.build(new_mesh, waypoint=False)
    mesh.authority.leaf(STRANGER)  # made once, before several threads ask for it
    mesh.gone.run("ip", "link", "set", "eth0", "down")  # it answers nothing, not even that it is gone
    with Echo(mesh.far, 9000), Echo(mesh.near, 9000):
        yield mesh


def crowd(number):
    """That many descriptors fit beside what the tests use."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(number, soft - 500)


def good_calls(mesh, seconds, pace=0.2):
    """How long each of some calls through the proxies took, while others misbehave."""
    took, until = [], time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.monotonic()
        with mesh.other.connect(mesh.near.ip, 9000) as s, mesh.client.connect(mesh.far.ip, 9000) as t:
            for each in (s, t):
                each.sendall(b"ping")
                assert read_exactly(each, 4) == b"ping"
        fresh = hbone_client.dial(mesh.stranger.connect(mesh.far.ip, 15008), mesh.authority.client_context(STRANGER))
        fresh.connect(f"{mesh.far.ip}:9000")
        fresh.close()
        took.append(time.monotonic() - began)
        select.select([], [], [], pace)
    return took


def until_all_ended(sockets, timeout):
    """Waits until each of the connections has been ended by the other side."""
    poll, left = select.epoll(), {}
    for s in sockets:
        s.setblocking(False)
        poll.register(s, select.EPOLLIN)
        left[s.fileno()] = s
    deadline = time.monotonic() + timeout
    while left:
        ready = poll.poll(max(deadline - time.monotonic(), 0))
        assert ready, f"{len(left)} connections are still open after {timeout} s"
        for fd, _ in ready:
            if ended(left[fd]):
                poll.unregister(fd)
                del left[fd]


class Background(threading.Thread):
    """Something slow that runs beside the other tests. result(): how long it took until the proxy ended it."""

    def __init__(self, action):
        super().__init__(daemon=True)
        self.action, self.took, self.failure = action, None, None
        self.start()

    def run(self):
        began = time.monotonic()
        try:
            self.action()
            self.took = time.monotonic() - began
        except Exception as failure:
            self.failure = failure

    def result(self, timeout):
        self.join(timeout)
        assert self.failure is None and self.took is not None, self.failure or "it is still open"
        return self.took


def trickle(mesh):
    """A ClientHello, a byte at a time."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = mesh.authority.client_context(STRANGER).wrap_bio(incoming, outgoing)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    hello = outgoing.read()
    with mesh.stranger.connect(mesh.near.ip, 15008) as s:
        for byte in hello:
            if select.select([s], [], [], 0.25)[0]:
                break
            s.sendall(bytes([byte]))
        assert ended(s)


def say_nothing(mesh):
    """TLS, and then not even an HTTP/2 preface."""
    tls = hbone_client.secure(mesh.stranger.connect(mesh.near.ip, 15008), mesh.authority.client_context(STRANGER),
                              timeout=50)
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while tls.recv(4096):
            pass
    tls.close()


@pytest.fixture(scope="module", autouse=True)
def beside(mesh):
    return {each.__name__: Background(functools.partial(each, mesh)) for each in (trickle, say_nothing)}


@pytest.mark.limit(90)
def test_peers_that_never_finish_their_handshake_are_shed_and_harm_nobody(mesh):
    ztunnel = mesh.ztunnels[2]
    before = ztunnel.process.rss()
    sockets = [mesh.stranger.connect(mesh.far.ip, 15008) for _ in range(crowd(6000))]
    try:
        for s in sockets[::2]:
            with contextlib.suppress(OSError):  # shed already: the oldest go first
                s.sendall(CLIENT_HELLO_BEGINS)
        assert max(good_calls(mesh, 2)) < NOTICED
        assert ztunnel.process.rss() - before < 256 << 20
        until_all_ended(sockets, 25)
    finally:
        for s in sockets:
            s.close()
    assert max(good_calls(mesh, 1)) < NOTICED


@pytest.mark.limit(90)
def test_calls_to_a_pod_that_answers_nothing_end_and_harm_nobody(mesh):
    ztunnel = mesh.ztunnels[1]
    before = ztunnel.process.rss()
    sockets = [mesh.client.connect(mesh.gone.ip, 9000) for _ in range(crowd(2000))]
    try:
        assert max(good_calls(mesh, 1)) < NOTICED
        until_all_ended(sockets, 20)
        assert ztunnel.process.rss() - before < 256 << 20
    finally:
        for s in sockets:
            s.close()


@pytest.mark.limit(90)
def test_apps_that_connect_and_say_nothing_hold_back_nobody(mesh):
    sockets = [mesh.client.connect(mesh.far.ip, 9000) for _ in range(crowd(2000))]
    try:
        assert max(good_calls(mesh, 1)) < NOTICED
        for s in sockets[::100]:
            s.sendall(b"ping")
            assert read_exactly(s, 4) == b"ping"
    finally:
        for s in sockets:
            s.close()


def test_one_byte_now_and_again_keeps_no_handshake_alive(beside):
    assert 8 < beside["trickle"].result(20) < 15


@pytest.mark.limit(60)
def test_a_peer_that_shakes_hands_and_then_says_nothing_is_given_up(beside):
    assert beside["say_nothing"].result(50) < 45
