# SPDX-License-Identifier: Apache-2.0
"""What the contenders do: each piece of work puts real load on the path and says what it cost.

measure(contender, seconds) returns {metric key: value}, or raises Void. CPU is user and system time of the
contender's processes over the whole run of the load tool, divided by what the tool says was done.
"""
import json
import re
import subprocess
from dataclasses import dataclass

from contenders import Void
from scene import BULK, SIZES

GB = 1e9
UNITS = {"us": 1, "ms": 1e3, "s": 1e6, "m": 6e7}


@dataclass(frozen=True)
class Metric:
    key: str
    unit: str
    lower: bool = True  # whether less is better


CPU_GB = Metric("cpu_per_gb", "CPU s per GB")
CPU_REQUEST = Metric("cpu_per_request", "CPU µs per request")
CPU_CONNECTION = Metric("cpu_per_connection", "CPU µs per connection")
SPEED = Metric("speed", "Gbit/s", lower=False)
RATE = Metric("rate", "per second", lower=False)
P50, P99 = Metric("p50", "p50 µs"), Metric("p99", "p99 µs")
CLIENT_KB, SERVER_KB = Metric("client_kb", "client side, KB"), Metric("server_kb", "server side, KB")
RSS = Metric("rss", "MB of the largest process")


class Work:
    """`none` has no processes, so it has no figures for what only they can cost."""
    families, fresh = ("l4", "waypoint"), False  # fresh: on processes that have done nothing yet


def load(contender, seconds, *command):
    """The tool's output and the CPU seconds the contender spent meanwhile."""
    before = [p.cpu_seconds() for p in contender.processes()]
    try:
        done = contender.scene.client.run(*command, timeout=seconds + 20)
    except subprocess.TimeoutExpired:
        raise Void(f"{command[0]} was not done after {seconds + 20} s")
    if done.returncode != 0:
        raise Void(f"{command[0]}: {(done.stderr or done.stdout).strip()[-200:]}")
    return done.stdout, sum(p.cpu_seconds() for p in contender.processes()) - sum(before)


class Bulk(Work):
    families, metrics = ("l4",), (CPU_GB, SPEED)

    def __init__(self, name, title, streams):
        self.name, self.title, self.streams = name, title, streams

    def measure(self, contender, seconds):
        out, cpu = load(contender, seconds, "iperf3", "-c", contender.scene.far.ip, "-p", BULK, "-t", seconds,
                        "-P", self.streams, "-J")
        said = json.loads(out)
        if "error" in said:
            raise Void(f"iperf3: {said['error']}")
        size = said["end"]["sum_received"]["bytes"]
        return {"cpu_per_gb": cpu / (size / GB), "speed": said["end"]["sum_received"]["bits_per_second"] / 1e9}


def wrk(contender, seconds, path, connections, *more):
    """(requests, CPU seconds, {percentile: µs}). Void when anything but 2xx came or connections failed."""
    out, cpu = load(contender, seconds, "wrk", "-t", 1, "-c", connections, "-d", f"{seconds}s", "--latency", *more,
                    f"http://{contender.address}/{path}")
    wrong = re.search(r"Non-2xx.*|Socket errors.*", out)
    if wrong:
        raise Void(f"wrk: {wrong[0]}")
    requests = int(re.search(r"(\d+) requests in", out)[1])
    if requests == 0:
        raise Void("wrk: not one request was answered")
    latency = {p: float(n) * UNITS[u] for p, n, u in re.findall(r"^\s+(50|99)%\s+([\d.]+)(us|ms|s|m)", out, re.M)}
    return requests, cpu, latency


class Requests(Work):
    """Kept connections, each asking again as soon as it has its answer."""

    def __init__(self, name, title, path, connections):
        self.name, self.title, self.path, self.connections = name, title, path, connections
        self.metrics = (CPU_REQUEST, RATE, P50, P99) if path == "1k" else (CPU_GB, RATE)

    def measure(self, contender, seconds):
        requests, cpu, latency = wrk(contender, seconds, self.path, self.connections)
        return {"cpu_per_request": cpu / requests * 1e6, "cpu_per_gb": cpu / (requests * SIZES[self.path] / GB),
                "rate": requests / seconds, "p50": latency["50"], "p99": latency["99"]}


class NewConnections(Work):
    name, title, metrics = "connections", "a new connection for each 1 KB request, 32 at a time", (CPU_CONNECTION, RATE)

    def measure(self, contender, seconds):
        requests, cpu, _ = wrk(contender, seconds, "1k", 32, "-H", "Connection: close")
        return {"cpu_per_connection": cpu / requests * 1e6, "rate": requests / seconds}


class Latency(Work):
    """The same 2,000 requests a second through each: what the path adds, not what it can take."""
    name, title, metrics = "latency", "2,000 requests a second over 10 connections", (P50, P99, CPU_REQUEST)
    rate, clients = 2000, 10

    def measure(self, contender, seconds):
        log, total = contender.place / "h2load.log", self.rate * seconds
        log.unlink(missing_ok=True)
        out, cpu = load(contender, seconds, "h2load", "--h1", f"--rps={self.rate // self.clients}", "-n", total,
                        "-c", self.clients, f"--log-file={log}", f"http://{contender.address}/1k")
        rows = [line.split("\t") for line in log.read_text().splitlines()]
        good = sorted(int(row[2]) for row in rows if row[1] == "200")
        if len(good) != total:
            raise Void(f"h2load: {len(good)} of {total} requests were answered with 200")
        if len(good) / self._span(rows) < 0.95 * self.rate:
            raise Void(f"h2load: {len(good) / self._span(rows):.0f} requests a second, not {self.rate}")
        return {"p50": good[len(good) // 2], "p99": good[len(good) * 99 // 100], "cpu_per_request": cpu / total * 1e6}

    @staticmethod
    def _span(rows):
        """Seconds from the first start to the last start."""
        starts = [int(row[0]) for row in rows]
        return max(max(starts) - min(starts), 1) / 1e6


class Idle(Work):
    """Each connection has carried one request and then holds still; the processes have done nothing else before."""
    name, title, fresh, metrics, families = "idle", "4,000 idle connections, each", True, (CLIENT_KB, SERVER_KB), ("l4",)
    count = 4000

    def measure(self, contender, _seconds):
        before = [p.rss() for p in contender.processes()]
        sockets = []
        try:
            for _ in range(self.count):
                sockets.append(contender.connect(timeout=20))
            for s in sockets:
                s.sendall(b"HEAD /1k HTTP/1.1\r\nHost: idle\r\n\r\n")
            for i, s in enumerate(sockets):
                if not s.recv(4096).startswith(b"HTTP/1.1 200"):
                    raise Void(f"connection {i} of {self.count} was not answered")
            grown = [(p.rss() - b) / self.count / 1e3 for p, b in zip(contender.processes(), before)]
        except OSError as error:
            raise Void(f"connection {len(sockets)} of {self.count}: {error}")
        finally:
            for s in sockets:
                s.close()
        return dict(zip(("client_kb", "server_kb"), grown))


class StartUp(Work):
    name, title, fresh, metrics = "start-up", "resident memory after the first request", True, (RSS,)

    def measure(self, contender, _seconds):
        rss = [p.rss() / 1e6 for p in contender.processes()]
        return {"rss": max(rss)} if rss else {}


ALL = (Bulk("bulk-1", "one bulk stream", 1), Bulk("bulk-8", "eight bulk streams", 8),
       Requests("requests-1", "1 KB responses over one kept connection", "1k", 1),
       *(Requests(f"requests-{n}", f"1 KB responses over {n} kept connections", "1k", n) for n in (32, 512)),
       Requests("requests-100k", "100 KB responses over 32 kept connections", "100k", 32),
       NewConnections(), Latency(), Idle(), StartUp())
