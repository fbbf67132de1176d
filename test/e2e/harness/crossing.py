# SPDX-License-Identifier: Apache-2.0
"""An east-west gateway: whatever comes in an HBONE tunnel goes, as it is, to one address. Bytes, not their meaning:
what runs inside is somebody else's TLS."""
import select
import socket

import h2.events

from hbone_client import TlsServer


class EastWest(TlsServer):
    """Serves port 15008 of `pod`. target: (address, port). `connects`: the headers of every CONNECT; `answer`: their
    status."""

    def __init__(self, pod, context, target):
        self.pod, self.target, self.answer, self.connects = pod, target, "200", []
        super().__init__(pod.listen(15008), context)

    def converse(self, tls, connection):
        ways = {}
        while True:
            ready = [tls] if tls.pending() else select.select([tls, *ways.values()], [], [])[0]
            if tls in ready:
                if not connection.pump():
                    return
                for stream in list(connection.events):
                    while connection.events[stream]:
                        self._react(connection, connection.events[stream].popleft(), ways)
            for stream, way in list(ways.items()):
                if way in ready:
                    self._back(connection, stream, way, ways)
            connection.flush()

    def _react(self, connection, event, ways):
        stream = getattr(event, "stream_id", None)
        if isinstance(event, h2.events.RequestReceived):
            self.connects.append(list(event.headers))
            connection.h2.send_headers(stream, [(":status", self.answer)], end_stream=self.answer != "200")
            if self.answer == "200":
                ways[stream] = self.pod.connect(*self.target)
        elif isinstance(event, h2.events.DataReceived):
            if stream in ways:
                ways[stream].sendall(event.data)
            connection.h2.acknowledge_received_data(event.flow_controlled_length, stream)
        elif isinstance(event, h2.events.StreamEnded) and stream in ways:
            ways[stream].shutdown(socket.SHUT_WR)
        elif isinstance(event, h2.events.StreamReset) and stream in ways:
            ways.pop(stream).close()

    def _back(self, connection, stream, way, ways):
        room = min(connection.h2.local_flow_control_window(stream), connection.h2.max_outbound_frame_size)
        data = way.recv(room) if room > 0 else None
        if data:
            connection.h2.send_data(stream, data)
        elif data == b"":
            connection.h2.end_stream(stream)
            ways.pop(stream).close()
