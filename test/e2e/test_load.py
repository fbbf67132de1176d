# SPDX-License-Identifier: Apache-2.0
"""A lot of it: gigabytes, thousands of connections, and apps that do not read."""
import os
import select
import selectors
import socket
import threading
import zlib

import pytest

from harness import standard
from harness.process import BINARY
from harness.servers import (BLOCK, Bulk, Echo, Origin, Server, checksum, drain, pattern, pour, read_exactly)
from harness.standard import VIP

GIB = int(os.environ.get("E2E_BULK", 1 << 30))
SANITIZED = any(name in str(BINARY) for name in ("asan", "tsan"))
LONG = 240 if SANITIZED else 60
MANY = 2000


@pytest.fixture(scope="module")
def mesh(new_mesh):
    return standard.build(new_mesh)


def both_ways(source, address, port, servers):
    with source.connect(address, port, timeout=LONG) as s:
        sent = []
        sender = threading.Thread(target=lambda: sent.append(pour(s, GIB, b"client")), daemon=True)
        sender.start()
        assert drain(s) == (GIB, checksum(GIB, b"server"))
        sender.join()
    # One of them had it; an idle one is asked without waiting.
    assert [took for server in servers for took in server.took(20 if len(servers) == 1 else 1)] == [(GIB, sent[0])]


@pytest.mark.limit(LONG)
def test_a_gibibyte_each_way_through_two_ztunnels(mesh):
    with Bulk(mesh.far, 9000, GIB) as server:
        both_ways(mesh.client, VIP["far"][0], 9000, [server])


@pytest.mark.limit(LONG)
def test_a_gibibyte_each_way_through_two_ztunnels_and_a_waypoint(mesh):
    with Bulk(mesh.far, 9000, GIB) as far, Bulk(mesh.near, 9000, GIB) as near:
        both_ways(mesh.client, VIP["web"][0], 9000, [far, near])


@pytest.mark.limit(LONG)
def test_a_gibibyte_of_http_body_each_way_through_a_waypoint(mesh):
    with Origin(mesh.far, 8080) as far, Origin(mesh.near, 8080) as near:
        with mesh.client.connect(VIP["web"][0], 80, timeout=LONG) as s, s.makefile("rb") as stream:
            s.sendall(f"POST /bytes/{GIB} HTTP/1.1\r\nHost: web\r\nContent-Length: {GIB}\r\n\r\n".encode())
            block, crc, left = pattern(b"up"), 0, GIB
            while left > 0:
                part = block[:left]
                s.sendall(part)
                crc, left = zlib.crc32(part, crc), left - len(part)
            while stream.readline().strip():
                pass
            size, got = read_sized(stream, GIB)
        assert (size, got) == (GIB, checksum(GIB, b"origin"))
        request, = far.requests + near.requests
        assert (request["size"], request["crc"]) == (GIB, crc)


def read_sized(stream, size):
    buffer, crc, left = bytearray(BLOCK), 0, size
    while left > 0 and (n := stream.readinto(memoryview(buffer)[: min(BLOCK, left)])):
        crc, left = zlib.crc32(memoryview(buffer)[:n], crc), left - n
    return size - left, crc


class EchoLoop(Server):
    """Echo for thousands of connections on one thread."""

    def _accept(self):
        selector = selectors.DefaultSelector()
        self._listener.setblocking(False)
        selector.register(self._listener, selectors.EVENT_READ)
        while self._listener.fileno() >= 0:
            for key, _ in selector.select(0.5):
                if key.fileobj is self._listener:
                    self._take(selector)
                elif not self._echo(key.fileobj):
                    selector.unregister(key.fileobj)
                    key.fileobj.close()

    def _take(self, selector):
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        self._open.add(connection)
        selector.register(connection, selectors.EVENT_READ)

    def _echo(self, connection):
        try:
            data = connection.recv(65536)
            connection.sendall(data)
            return bool(data)
        except OSError:
            return False


@pytest.mark.limit(LONG)
@pytest.mark.parametrize("service", ["far", "web"])
def test_two_thousand_connections_at_once(mesh, service):
    with EchoLoop(mesh.far, 9000), EchoLoop(mesh.near, 9000):
        sockets = [mesh.client.connect(VIP[service][0], 9000, timeout=30) for _ in range(MANY)]
        for i, s in enumerate(sockets):
            s.sendall(b"%08d" % i)
        for i, s in enumerate(sockets):
            assert read_exactly(s, 8) == b"%08d" % i
        for s in sockets:
            s.close()
        with mesh.client.connect(VIP[service][0], 9000) as s:
            s.sendall(b"one more")
            assert read_exactly(s, 8) == b"one more"


def fill(s):
    """Writes until nothing has been taken for half a second; how much that was."""
    s.setblocking(False)
    block, sent = bytes(pattern(b"stall")), 0
    while select.select([], [s], [], 0.5)[1]:
        try:
            sent += s.send(block)
        except BlockingIOError:
            pass
        assert sent < 1 << 28, "nobody holds this sender back"
    return sent


class Gate(Server):
    """Reads nothing until open() is called, then everything; `took` has what came."""

    def __init__(self, pod, port):
        self._gate, self.took, self._took = threading.Event(), [], threading.Condition()
        super().__init__(pod, port)

    def serve(self, connection):
        self._gate.wait()
        size = drain(connection)[0]
        with self._took:
            self.took.append(size)
            self._took.notify_all()

    def open(self):
        self._gate.set()

    def wait(self, count, timeout):
        with self._took:
            assert self._took.wait_for(lambda: len(self.took) == count, timeout), f"{len(self.took)} of {count} ended"
        return sum(self.took)


@pytest.mark.limit(LONG)
@pytest.mark.parametrize("service, port", [("far", 9000), ("web", 9000)])
def test_slow_readers_hold_back_their_own_senders_and_nobody_else(mesh, service, port):
    """Twenty uploads to an app that does not read; a neighbour on the same HBONE connections does not notice."""
    before = {p: p.process.rss() for p in mesh.proxies()}
    with Gate(mesh.far, port) as far, Gate(mesh.near, port) as near, Echo(mesh.far, 8080), Echo(mesh.near, 8080):
        stalled = [mesh.client.connect(VIP[service][0], port) for _ in range(20)]
        sent = sum(fill(s) for s in stalled)
        with mesh.client.connect(mesh.far.ip, 8080, timeout=3) as s:
            for _ in range(50):
                s.sendall(b"neighbour")
                assert read_exactly(s, 9) == b"neighbour"
        for proxy, rss in before.items():
            grown = proxy.process.rss() - rss
            assert SANITIZED or grown < 64 << 20, f"{proxy.arguments[0]} grew by {grown >> 20} MiB for {sent >> 20} MiB sent"
        for gate in (far, near):
            gate.open()
        for s in stalled:
            s.setblocking(True)
            s.shutdown(socket.SHUT_WR)
        arrived = far.wait(20, 20) if service == "far" else wait_both(far, near)
        assert arrived == sent
        for s in stalled:
            s.close()


def wait_both(far, near):
    with far._took:
        assert far._took.wait_for(lambda: len(far.took) + len(near.took) == 20, 20)
    return sum(far.took) + sum(near.took)


@pytest.mark.limit(LONG)
@pytest.mark.parametrize("service", ["far", "web"])
def test_clients_that_do_not_read_hold_back_their_server_and_nobody_else(mesh, service):
    size = 16 << 20
    before = {p: p.process.rss() for p in mesh.proxies()}
    with Bulk(mesh.far, 9000, size), Bulk(mesh.near, 9000, size), Echo(mesh.far, 8080):
        slow = [mesh.client.connect(VIP[service][0], 9000, timeout=30) for _ in range(20)]
        with mesh.client.connect(mesh.far.ip, 8080, timeout=3) as s:
            for _ in range(200):
                s.sendall(b"neighbour")
                assert read_exactly(s, 9) == b"neighbour"
        for proxy, rss in before.items():
            grown = proxy.process.rss() - rss
            assert SANITIZED or grown < 64 << 20, f"{proxy.arguments[0]} grew by {grown >> 20} MiB"
        want = checksum(size, b"server")
        for s in slow:
            assert drain(s) == (size, want)
            s.close()
