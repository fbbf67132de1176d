# SPDX-License-Identifier: Apache-2.0
"""What a request or a byte is made of, counted instead of timed: system calls, allocations, locks.

The requests are asked by this process, one round after another over connections that stand, so what is counted belongs
to requests alone. strace slows a proxy down, so only what does not depend on speed is counted with it: calls per
request. Bytes per call depend on it and are counted by build/bench/count.so inside ambientd at full speed.
"""
import contextlib
import signal
import struct

import tools
from contenders import ENVOY, OURS, OURS_35
from harness.process import Process
from scene import SIZES, Setup
from tools import Void
from work import Metric, Work, iperf3

ASK = b"GET /1k HTTP/1.1\r\nHost: counted\r\n\r\n"
WARM_UP = 50  # rounds
SIDES = ("client", "server")  # in the order of processes()
COUNTED = ("news", "mallocs", "mutexes", "rwlocks", "in_calls", "in_bytes", "out_calls", "out_bytes")  # counting/count.h


class Asker:
    """Kept connections that all ask, and all have their answers before they ask again."""

    def __init__(self, contender, connections):
        self._sockets = []
        try:
            for _ in range(connections):
                self._sockets.append(contender.connect(timeout=10))
        except OSError:
            self.close()
            raise
        self.ask(WARM_UP)

    def ask(self, rounds):
        for _ in range(rounds):
            for s in self._sockets:
                s.sendall(ASK)
            for s in self._sockets:
                self._answer(s)

    @staticmethod
    def _answer(s):
        got = b""
        while (end := got.find(b"\r\n\r\n")) < 0 or len(got) < end + 4 + SIZES["1k"]:
            more = s.recv(65536)
            if not more:
                raise Void("a kept connection was closed")
            got += more
        if not got.startswith(b"HTTP/1.1 200"):
            raise Void(f"a request got {got[:40]!r}")

    def close(self):
        for s in self._sockets:
            s.close()


class Tracer:
    """strace -c on a running process until counts()."""

    def __init__(self, process, place):
        self._table = place / f"strace-{process.pid}"
        self._table.unlink(missing_ok=True)
        self._strace = Process(["strace", "-f", "-c", "-o", self._table, "-p", process.pid])
        # One line for the process, which names its threads; a thread that is not attached would not be counted.
        self._strace.lines.wait(lambda line: f"Process {process.pid} attached" in line, timeout=10)

    def counts(self):
        self._strace.signal(signal.SIGINT)
        self._strace.wait()
        return tools.strace_counts(self._table.read_text())

    def close(self):
        if self._strace.alive():
            self._strace.kill()


def per_side(kinds):
    return tuple(Metric(f"{key}_{side}", f"{title}, {side}") for key, title in kinds for side in SIDES)


class Traced(Work):
    families, contenders, rounds = ("l4",), (OURS, OURS_35, ENVOY), 1
    metrics = per_side((("data", "data calls a request"), ("polls", "polls a request"), ("futex", "futex calls a request"),
                        ("other", "other calls a request")))

    def __init__(self, connections):
        plural = "s" if connections > 1 else ""
        self.name, self.title = f"calls-{connections}", f"system calls per kept-alive 1 KB request, {connections} connection{plural}"
        self.connections, self.asked = connections, max(1000 // connections, 50)

    def measure(self, contender, _seconds):
        with contextlib.ExitStack() as stack:
            asker = stack.enter_context(contextlib.closing(Asker(contender, self.connections)))
            tracers = [stack.enter_context(contextlib.closing(Tracer(p, contender.place))) for p in contender.processes()]
            asker.ask(self.asked)
            counts = [tools.by_kind(t.counts()) for t in tracers]
        return {f"{kind}_{side}": n / (self.asked * self.connections)
                for side, kinds in zip(SIDES, counts) for kind, n in kinds.items()}


def counted(contender):
    """The numbers so far of each process: [{name: number}]."""
    return [dict(zip(COUNTED, struct.unpack("8Q", (contender.place / str(p.pid)).read_bytes()))) for p in contender.processes()]


def between(before, after):
    return [{key: now[key] - was[key] for key in now} for was, now in zip(before, after)]


class CountedRequests(Work):
    families, contenders, setup, rounds = ("l4",), (OURS, OURS_35), Setup(counting=True), 1
    metrics = per_side((("news", "allocations of ours a request"), ("mallocs", "of the libraries a request"),
                        ("mutexes", "mutexes a request"), ("rwlocks", "rwlocks a request")))

    def __init__(self, connections):
        plural = "s" if connections > 1 else ""
        self.name, self.title = f"counted-{connections}", f"counted per kept-alive 1 KB request, {connections} connection{plural}"
        self.connections, self.asked = connections, max(2000 // connections, 100)

    def measure(self, contender, _seconds):
        with contextlib.closing(Asker(contender, self.connections)) as asker:
            before = counted(contender)
            asker.ask(self.asked)
            spent = between(before, counted(contender))
        return {f"{key}_{side}": numbers[key] / (self.asked * self.connections)
                for side, numbers in zip(SIDES, spent) for key in ("news", "mallocs", "mutexes", "rwlocks")}


class CountedBulk(Work):
    name, title = "counted-bulk", "bytes per data call in one bulk stream, counted at full speed"
    families, contenders, setup, rounds = ("l4",), (OURS, OURS_35), Setup(counting=True), 1
    metrics = tuple(Metric(f"kb_{way}_{side}", f"KB a call, {way}, {side}", lower=False) for way in ("up", "down") for side in SIDES)

    def measure(self, contender, seconds):
        values = {}
        for way, more in (("up", ()), ("down", ("-R",))):
            before = counted(contender)
            iperf3(contender, seconds, 1, *more)
            for side, n in zip(SIDES, between(before, counted(contender))):
                values[f"kb_{way}_{side}"] = (n["in_bytes"] + n["out_bytes"]) / max(n["in_calls"] + n["out_calls"], 1) / 1024
        return values
