# SPDX-License-Identifier: Apache-2.0
"""One stream whose reader never reads, beside small requests on the same HBONE connection.

That they share one is looked at, not assumed: the client's ztunnel has exactly one connection to the server's 15008
while both are at work. That the stream stalls as well: what its reader has not read is the same before and after.
"""
import array
import contextlib
import fcntl
import termios
import time

import tools
from contenders import ENVOY, OURS, OURS_35
from scene import HTTP
from tools import Void
from work import Metric, Work, h2load

ASK = b"GET /big HTTP/1.1\r\nHost: stalled\r\n\r\n"
HBONE = 15008


def unread(s):
    """Bytes that have arrived on a socket and nobody has read."""
    count = array.array("i", [0])
    fcntl.ioctl(s, termios.FIONREAD, count)
    return count[0]


def hbone_connections(contender):
    """The established connections of the client's pod to the server's pod on 15008."""
    out = contender.scene.client.run("ss", "-Htn", "state", "established", "dst", f"{contender.scene.far.ip}:{HBONE}").stdout
    return len(out.splitlines())


@contextlib.contextmanager
def stalled_stream(contender):
    """A response of 64 MB nobody reads, once it has come to a halt."""
    with contextlib.closing(contender.connect(timeout=10)) as s:
        s.sendall(ASK)
        last, deadline = -1, time.monotonic() + 10
        while (now := unread(s)) != last or now == 0:
            if time.monotonic() > deadline:
                raise Void(f"the stalled stream does not stall: {now} bytes unread")
            last = now
            time.sleep(0.2)  # nothing tells that nothing more will come
        yield
        if unread(s) != last:
            raise Void(f"the stalled stream moved: {last} bytes unread before, {unread(s)} after")


class Stalled(Work):
    name, title = "stalled", f"1,000 requests a second beside a stalled stream on one HBONE connection (port {HTTP})"
    families, contenders, rounds = ("l4",), (OURS, OURS_35, ENVOY), 5
    metrics = (Metric("p99_alone", "p99 µs without"), Metric("p99_beside", "p99 µs beside it"),
               Metric("p50_alone", "p50 µs without"), Metric("p50_beside", "p50 µs beside it"))
    rate, clients = 1000, 10

    def measure(self, contender, seconds):
        alone, _ = h2load(contender, seconds, self.rate, self.clients)
        with stalled_stream(contender):
            beside, _ = h2load(contender, seconds, self.rate, self.clients)
            if (found := hbone_connections(contender)) != 1:
                raise Void(f"{found} HBONE connections where the streams were to share one")
        return {f"p{p}_{where}": tools.percentile(times, p)
                for p in (50, 99) for where, times in (("alone", alone), ("beside", beside))}
