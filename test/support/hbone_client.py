# SPDX-License-Identifier: Apache-2.0
"""HBONE as python3-h2 speaks it: a client and a server that check and hide nothing, to hold against ours.

    python3 hbone_client.py ADDRESS:PORT AUTHORITY --ca F --cert F --key F [--header k:v] < request > response
"""
import argparse
import collections
import socket
import ssl
import sys
import threading
import time

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings


class Refused(Exception):
    """The peer answered the CONNECT with something else than 200. headers: the response, in order."""

    def __init__(self, status, headers):
        super().__init__(f"{status}")
        self.status, self.headers = status, headers


class Reset(Exception):
    """The peer reset the stream. code: the HTTP/2 error code."""

    def __init__(self, code):
        super().__init__(f"RST_STREAM {code}")
        self.code = code


class _Patient(h2.connection.H2Connection):
    """h2 takes any GOAWAY for the end; RFC 9113 §6.8 lets open streams finish."""

    def _receive_goaway_frame(self, frame):
        state = self.state_machine.state
        frames, events = super()._receive_goaway_frame(frame)
        self.state_machine.state = state
        return frames, events


class Connection:
    """An HTTP/2 connection over a connected, already secured socket. One thread at a time."""

    def __init__(self, sock, client=True, settings=None):
        self.sock = sock
        config = h2.config.H2Configuration(
            client_side=client, header_encoding="utf-8", validate_outbound_headers=False,
            normalize_outbound_headers=False, validate_inbound_headers=False, normalize_inbound_headers=False)
        self.h2 = _Patient(config)
        if settings:
            self.h2.local_settings = h2.settings.Settings(client=client, initial_values=settings)
        self.events = collections.defaultdict(collections.deque)  # by stream; 0: the connection's own
        self.peer_settings, self.goaway = None, None
        self.h2.initiate_connection()
        self.flush()

    def flush(self):
        if data := self.h2.data_to_send():
            self.sock.sendall(data)

    def pump(self):
        """Reads once and files the events; False at the end of the connection."""
        data = self.sock.recv(1 << 18)
        if not data:
            return False
        for event in self.h2.receive_data(data):
            self._file(event)
        self.flush()
        return True

    def _file(self, event):
        if isinstance(event, h2.events.RemoteSettingsChanged):
            self.peer_settings = self.peer_settings or {k: s.new_value for k, s in event.changed_settings.items()}
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = event
        elif getattr(event, "stream_id", None):
            self.events[event.stream_id].append(event)
        else:
            self.events[0].append(event)

    def next_event(self, stream, *kinds):
        """The stream's next event of these kinds; resets raise, the end of the connection raises EOFError."""
        while True:
            queue = self.events[stream]
            while queue:
                event = queue.popleft()
                if isinstance(event, h2.events.StreamReset) and h2.events.StreamReset not in kinds:
                    raise Reset(event.error_code)
                if isinstance(event, kinds):
                    return event
            if not self.pump():
                raise EOFError(f"connection closed (GOAWAY: {self.goaway})")

    def request(self, headers, end=False):
        """Sends any header list on a new stream; its number."""
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, headers, end_stream=end)
        self.flush()
        return stream

    def response(self, stream):
        """(status, headers) of the answer."""
        event = self.next_event(stream, h2.events.ResponseReceived)
        return int(dict(event.headers)[":status"]), list(event.headers)

    def connect(self, authority, headers=()):
        """A tunnel to an authority. Refused with the response when the answer is not 200."""
        stream = self.request([(":method", "CONNECT"), (":authority", authority), *headers])
        status, answer = self.response(stream)
        if status != 200:
            raise Refused(status, answer)
        return Tunnel(self, stream, answer)

    def close(self):
        try:
            self.h2.close_connection()
            self.flush()
        except (OSError, ssl.SSLError):
            pass
        self.sock.close()


class Tunnel:
    """A CONNECT stream as something like a socket."""

    def __init__(self, connection, stream, headers):
        self.connection, self.stream, self.headers = connection, stream, headers
        self._rest, self._ended = b"", False

    def sendall(self, data):
        view = memoryview(data)
        while view:
            room = min(self.connection.h2.local_flow_control_window(self.stream),
                       self.connection.h2.max_outbound_frame_size, len(view))
            if room <= 0:
                if not self.connection.pump():
                    raise EOFError("connection closed while sending")
                continue
            self.connection.h2.send_data(self.stream, bytes(view[:room]))
            self.connection.flush()
            view = view[room:]

    def finish(self):
        self.connection.h2.end_stream(self.stream)
        self.connection.flush()

    def reset(self, code=h2.errors.ErrorCodes.CANCEL):
        self.connection.h2.reset_stream(self.stream, code)
        self.connection.flush()

    def recv(self, size=1 << 20):
        """Some bytes; b"" once the peer has ended its direction."""
        if not self._rest and not self._ended:
            event = self.connection.next_event(self.stream, h2.events.DataReceived, h2.events.StreamEnded)
            if isinstance(event, h2.events.StreamEnded):
                self._ended = True
            else:
                self.connection.h2.acknowledge_received_data(event.flow_controlled_length, self.stream)
                self.connection.flush()
                self._rest = event.data
                if not self._rest:
                    return self.recv(size)
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def read_all(self):
        parts = []
        while part := self.recv():
            parts.append(part)
        return b"".join(parts)


def secure(sock, context, server_side=False, timeout=5.0):
    """TLS over a connected socket."""
    sock.settimeout(timeout)
    return context.wrap_socket(sock, server_side=server_side)


def dial(sock, context, settings=None):
    """An HBONE client connection over a connected plain socket."""
    return Connection(secure(sock, context), client=True, settings=settings)


class Echo:
    """What a server still owes one stream."""

    def __init__(self, stream):
        self.stream, self.data, self.ended = stream, bytearray(), False

    def push(self, connection, owed):
        """Sends what the peer's windows take; leaves `owed` once the end of the stream is sent."""
        while self.data:
            room = min(connection.h2.local_flow_control_window(self.stream), connection.h2.max_outbound_frame_size)
            if room <= 0:
                return
            connection.h2.send_data(self.stream, bytes(self.data[:room]))
            del self.data[:room]
        if self.ended:
            connection.h2.end_stream(self.stream)
            del owed[self.stream]


class TlsServer:
    """Accepts HBONE connections on a listening socket, each on a thread of its own, until close()."""

    def __init__(self, listener, context):
        self.listener, self.context, self._accepted = listener, context, []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        try:
            tls = secure(sock, self.context, server_side=True, timeout=None)
            self._accepted.append(tls)
            self.converse(tls, Connection(tls, client=False))
        except (OSError, EOFError) as error:
            self.failed(error)

    def converse(self, tls, connection):
        """Until the connection ends."""
        raise NotImplementedError

    def failed(self, error):
        """A connection ended like this; the tests see at its other end what became of it."""

    def close(self):
        """Ends the listener and every connection: a pool must not find this server again behind the next one."""
        for each in (self.listener, *self._accepted):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.listener.close()


class HboneServer(TlsServer):
    """Terminates HBONE on a listening socket, records every CONNECT's headers and echoes its bytes.

    answer(headers) → the response's header list; None means 200 and echo. `connects`: (headers, peer certificate);
    `goaways`: those of clients.
    """

    def __init__(self, listener, context, answer=None):
        self.answer = answer
        self.connects, self.settings, self.failures, self.goaways = [], [], [], []
        self._changed = threading.Condition()
        super().__init__(listener, context)

    def failed(self, error):
        with self._changed:
            self.failures.append(error)
            self._changed.notify_all()

    def converse(self, tls, connection):
        seen, owed, certificate = False, {}, tls.getpeercert()
        while connection.pump():
            if connection.peer_settings and not seen:
                self.settings.append(connection.peer_settings)
                seen = True
            if connection.goaway and connection.goaway not in self.goaways:
                with self._changed:
                    self.goaways.append(connection.goaway)
                    self._changed.notify_all()
            for stream in list(connection.events):
                while connection.events[stream]:
                    self._react(connection, certificate, connection.events[stream].popleft(), owed)
            for echo in list(owed.values()):
                echo.push(connection, owed)
            connection.flush()

    def _react(self, connection, certificate, event, owed):
        if isinstance(event, h2.events.RequestReceived):
            headers = list(event.headers)
            answer = self.answer(headers) if self.answer else None
            connection.h2.send_headers(event.stream_id, answer or [(":status", "200")], end_stream=answer is not None)
            if answer is None:
                owed[event.stream_id] = Echo(event.stream_id)
            with self._changed:
                self.connects.append((headers, certificate))
                self._changed.notify_all()
        elif isinstance(event, h2.events.DataReceived):
            if event.stream_id in owed:
                owed[event.stream_id].data += event.data
            connection.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded) and event.stream_id in owed:
            owed[event.stream_id].ended = True
        elif isinstance(event, h2.events.StreamReset):
            owed.pop(event.stream_id, None)

    def wait_connect(self, count=1, timeout=5.0):
        """The first `count` CONNECTs as (headers, certificate)."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while len(self.connects) < count and self._changed.wait(deadline - time.monotonic()):
                pass
            assert len(self.connects) >= count, f"{len(self.connects)} of {count} CONNECTs; failures: {self.failures}"
            return self.connects[:count]

    def wait_goaway(self, timeout=5.0):
        """The first GOAWAY of a client."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.goaways, timeout), "no GOAWAY"
            return self.goaways[0]


def main():
    parser = argparse.ArgumentParser(description="Opens one HBONE tunnel; standard input goes in, the answer comes out.")
    parser.add_argument("address")
    parser.add_argument("authority")
    parser.add_argument("--ca", required=True)
    parser.add_argument("--cert")
    parser.add_argument("--key")
    parser.add_argument("--header", action="append", default=[])
    options = parser.parse_args()
    host, _, port = options.address.rpartition(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(options.ca)
    context.set_alpn_protocols(["h2"])
    if options.cert:
        context.load_cert_chain(options.cert, options.key)
    connection = dial(socket.create_connection((host.strip("[]"), int(port)), 5), context)
    try:
        tunnel = connection.connect(options.authority, [tuple(h.split(":", 1)) for h in options.header])
    except Refused as refused:
        sys.exit(f"refused: {refused.headers}")
    tunnel.sendall(sys.stdin.buffer.read())
    tunnel.finish()
    sys.stdout.buffer.write(tunnel.read_all())


if __name__ == "__main__":
    main()
