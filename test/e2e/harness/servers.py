# SPDX-License-Identifier: Apache-2.0
"""Servers that know nothing of the mesh, each a listening socket in a pod and threads of this process."""
import contextlib
import json
import socket
import threading
import zlib

BLOCK = 1 << 20


class Server:
    """Accepts on a port of a pod and gives each connection a thread. `peers`: the client addresses it saw."""

    def __init__(self, pod, port):
        self.pod, self.port, self.peers = pod, port, []
        self._listener = pod.listen(port)
        self._open = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, address = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.peers.append(address[0].removeprefix("::ffff:"))
            self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with contextlib.suppress(OSError), connection:
            self.serve(connection)
        self._open.discard(connection)

    def serve(self, connection):
        raise NotImplementedError

    def close(self):
        """Stops listening and resets what is open."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Echo(Server):
    """Sends back what comes; passes the end of the stream on when it comes."""

    def serve(self, connection):
        while data := connection.recv(BLOCK):
            connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)


class Greeter(Server):
    """Speaks first: a banner, then echo."""
    banner = b"220 hello\r\n"

    def serve(self, connection):
        connection.sendall(self.banner)
        while data := connection.recv(BLOCK):
            connection.sendall(data)


class LastWord(Server):
    """Reads to the end of the stream, and only then answers: how much it was, and a checksum."""

    def serve(self, connection):
        size, crc = drain(connection)
        connection.sendall(f"{size} {crc:08x}\n".encode())
        connection.shutdown(socket.SHUT_WR)


class Bulk(Server):
    """Both ways at once: takes everything, sends `size` bytes, ends with the checksum of what it took. `ends_last`: its
    own direction ends only after the other one has."""

    def __init__(self, pod, port, size, ends_last=False):
        self.ends_last, self.size, self._took, self._changed = ends_last, size, [], threading.Condition()
        super().__init__(pod, port)

    def serve(self, connection):
        sender = threading.Thread(target=pour, args=(connection, self.size, b"server", not self.ends_last), daemon=True)
        sender.start()
        took = drain(connection)
        with self._changed:
            self._took.append(took)
            self._changed.notify_all()
        sender.join()
        if self.ends_last:
            connection.shutdown(socket.SHUT_WR)

    def took(self, timeout=20):
        """(bytes, crc32) of every connection so far, once there is one."""
        with self._changed:
            self._changed.wait_for(lambda: self._took, timeout)
            return list(self._took)


class Silent(Server):
    """Accepts and never reads: what a stuck app looks like."""

    def serve(self, connection):
        threading.Event().wait()


def pattern(seed):
    """One block that is not compressible and differs by seed."""
    state, out = zlib.crc32(seed), bytearray()
    while len(out) < BLOCK:
        state = zlib.crc32(state.to_bytes(4, "big"), state) ^ 0x9E3779B9
        out += state.to_bytes(4, "big")
    return bytes(out)


def pour(connection, size, seed, end=True):
    """Sends `size` bytes (a repeating block, stamped with its number) and ends the stream; their crc32."""
    block, crc, sent = bytearray(pattern(seed)), 0, 0
    while sent < size:
        block[:8] = sent.to_bytes(8, "big")
        part = block if size - sent >= BLOCK else block[: size - sent]
        connection.sendall(part)
        crc = zlib.crc32(part, crc)
        sent += len(part)
    if end:
        connection.shutdown(socket.SHUT_WR)
    return crc


def checksum(size, seed):
    """What pour() returns, without sending."""
    block, crc, sent = bytearray(pattern(seed)), 0, 0
    while sent < size:
        block[:8] = sent.to_bytes(8, "big")
        part = block if size - sent >= BLOCK else block[: size - sent]
        crc = zlib.crc32(part, crc)
        sent += len(part)
    return crc


def drain(connection):
    """(bytes, crc32) of everything up to the end of the stream."""
    buffer, size, crc = bytearray(BLOCK), 0, 0
    while n := connection.recv_into(buffer):
        crc = zlib.crc32(memoryview(buffer)[:n], crc)
        size += n
    return size, crc


def read_exactly(connection, size):
    data = bytearray()
    while len(data) < size:
        part = connection.recv(min(BLOCK, size - len(data)))
        if not part:
            raise EOFError(f"{len(data)} of {size} bytes, then the end")
        data += part
    return bytes(data)


def ended(connection):
    """Waits for the end of a connection that brings no byte: FIN or RST. False when a byte came."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


class Origin(Server):
    """An HTTP/1.1 server. It answers with JSON that says who it is and what it was asked, except for:
    /status/N · /bytes/N · /chunked (with a trailer) · /hang-up (closes without an answer) · /early (answers 413 before
    the body) · a WebSocket upgrade (101, then echo). `requests` holds every request it understood."""

    def __init__(self, pod, port, name=None):
        self.name, self.requests = name or pod.name, []
        super().__init__(pod, port)

    def serve(self, connection):
        stream = connection.makefile("rb")
        while request := self._read_head(stream):
            if request["path"] == "/early":
                return connection.sendall(head(413, ("content-length", "0"), ("connection", "close")))
            if request["headers"].get("expect") == "100-continue":
                connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._read_body(stream, request)
            self.requests.append(request)
            if request["path"] == "/hang-up":
                return
            if request["headers"].get("upgrade") == "websocket":
                return self._upgraded(connection, stream)
            self._answer(connection, request)

    def _read_head(self, stream):
        line = stream.readline()
        if not line.strip():
            return None
        method, path, version = line.decode("latin-1").split()
        raw = self._read_fields(stream)
        return {"name": self.name, "method": method, "path": path, "version": version, "raw": raw,
                "headers": {k.lower(): v for k, v in raw}, "trailers": {}, "size": 0, "crc": 0}

    def _read_fields(self, stream):
        fields = []
        while (line := stream.readline().decode("latin-1").strip("\r\n")):
            key, _, value = line.partition(":")
            fields.append((key, value.strip()))
        return fields

    def _read_body(self, stream, request):
        if request["headers"].get("transfer-encoding") == "chunked":
            while size := int(stream.readline().split(b";")[0], 16):
                self._take(stream, request, size)
                stream.readline()
            request["trailers"] = dict(self._read_fields(stream))
        else:
            self._take(stream, request, int(request["headers"].get("content-length", 0)))

    def _take(self, stream, request, left):
        while left > 0:
            data = stream.read(min(left, BLOCK))
            if not data:
                raise OSError("the body ended early")
            request["size"] += len(data)
            request["crc"] = zlib.crc32(data, request["crc"])
            left -= len(data)

    def _upgraded(self, connection, stream):
        connection.sendall(head(101, ("upgrade", "websocket"), ("connection", "Upgrade"), ("sec-websocket-accept", "x")))
        while data := stream.read1(BLOCK):
            connection.sendall(data)

    def _answer(self, connection, request):
        kind, _, number = request["path"].partition("?")[0].strip("/").partition("/")
        if kind == "bytes":
            return self._answer_bytes(connection, int(number))
        if kind == "chunked":
            connection.sendall(head(200, ("transfer-encoding", "chunked"), ("trailer", "x-sum")))
            return connection.sendall(b"5\r\nhello\r\n6\r\n world\r\n0\r\nx-sum: 11\r\n\r\n")
        body = json.dumps(request).encode()
        fields = [("content-length", str(len(body))), ("content-type", "application/json"), ("server", "origin"),
                  ("x-origin", self.name)]
        connection.sendall(head(int(number) if kind == "status" else 200, *fields)
                           + (b"" if request["method"] == "HEAD" else body))

    def _answer_bytes(self, connection, size):
        connection.sendall(head(200, ("content-length", str(size))))
        block, sent = bytearray(pattern(b"origin")), 0
        while sent < size:
            block[:8] = sent.to_bytes(8, "big")
            part = block if size - sent >= BLOCK else block[: size - sent]
            connection.sendall(part)
            sent += len(part)


def head(status, *fields):
    return (f"HTTP/1.1 {status} X\r\n" + "".join(f"{k}: {v}\r\n" for k, v in fields) + "\r\n").encode()
