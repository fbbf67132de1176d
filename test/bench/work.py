# SPDX-License-Identifier: Apache-2.0
"""What the contenders do: each piece of work puts real load on the path and says what it cost.

measure(contender, seconds) returns {metric key: value}, or raises Void. CPU is user and system time of the
contender's processes over the whole run of the load tool, divided by what the tool says was done.
"""
import subprocess
from dataclasses import dataclass

import tools
from contenders import ENVOY, HAPROXY, NONE, OURS, OURS_35
from scene import BULK, SIZES, Setup
from tools import Void

GB = 1e9
EVERYBODY = (NONE, OURS, OURS_35, ENVOY, HAPROXY)
MESHES = (OURS, OURS_35, ENVOY)


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
    contenders, setup = EVERYBODY, Setup()
    rounds = None  # None: as many as the run has


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


def iperf3(contender, seconds, streams, *more):
    """(bytes that arrived, bits per second, CPU seconds)."""
    out, cpu = load(contender, seconds, "iperf3", "-c", contender.scene.far.ip, "-p", BULK, "-t", seconds, "-P", streams,
                    "-J", *more)
    return *tools.iperf3(out), cpu


def wrk(contender, seconds, path, connections, *more):
    """(WrkResult, CPU seconds)."""
    out, cpu = load(contender, seconds, "wrk", "-t", 1, "-c", connections, "-d", f"{seconds}s", "--latency", *more,
                    f"http://{contender.address}/{path}")
    return tools.wrk(out), cpu


def h2load(contender, seconds, rate, clients):
    """(the answers' times in µs, sorted, CPU seconds): so many 1 KB requests a second over so many connections."""
    log, total = contender.place / "h2load.log", rate * seconds
    log.unlink(missing_ok=True)
    _, cpu = load(contender, seconds, "h2load", "--h1", f"--rps={rate // clients}", "-n", total, "-c", clients,
                  f"--log-file={log}", f"http://{contender.address}/1k")
    return tools.h2load_log(log.read_text(), total, rate), cpu


class Bulk(Work):
    families, metrics = ("l4",), (CPU_GB, SPEED)

    def __init__(self, name, title, streams, workers=1, contenders=MESHES):
        self.name, self.title, self.streams, self.contenders = name, title, streams, contenders
        self.setup = Setup(workers=workers)

    def measure(self, contender, seconds):
        size, speed, cpu = iperf3(contender, seconds, self.streams)
        return {"cpu_per_gb": cpu / (size / GB), "speed": speed / 1e9}


class Requests(Work):
    """Kept connections, each asking again as soon as it has its answer."""

    def __init__(self, name, title, path, connections, contenders=EVERYBODY):
        self.name, self.title, self.path, self.connections, self.contenders = name, title, path, connections, contenders
        self.metrics = (CPU_REQUEST, RATE, P50, P99) if path == "1k" else (CPU_GB, RATE)

    def measure(self, contender, seconds):
        done, cpu = wrk(contender, seconds, self.path, self.connections)
        return {"cpu_per_request": cpu / done.requests * 1e6, "cpu_per_gb": cpu / (done.requests * SIZES[self.path] / GB),
                "rate": done.requests / seconds, "p50": done.latency["50"], "p99": done.latency["99"]}


class TwoWorkers(Requests):
    families, setup = ("l4",), Setup(workers=2)


class NewConnections(Work):
    name, title, metrics = "connections", "a new connection for each 1 KB request, 32 at a time", (CPU_CONNECTION, RATE)

    def measure(self, contender, seconds):
        done, cpu = wrk(contender, seconds, "1k", 32, "-H", "Connection: close")
        return {"cpu_per_connection": cpu / done.requests * 1e6, "rate": done.requests / seconds}


class Latency(Work):
    """The same 2,000 requests a second through each: what the path adds, not what it can take."""
    name, title, metrics = "latency", "2,000 requests a second over 10 connections", (P50, P99, CPU_REQUEST)
    rate, clients = 2000, 10

    def measure(self, contender, seconds):
        times, cpu = h2load(contender, seconds, self.rate, self.clients)
        return {"p50": tools.percentile(times, 50), "p99": tools.percentile(times, 99),
                "cpu_per_request": cpu / len(times) * 1e6}


ROUTE_SCRIPT = """
local n, i = {count}, 0
request = function()
  i = (i + 7919) % n  -- a prime further apart than neighbours: every rule in turn, none next to the one before
  return wrk.format("GET", "/route/" .. i)
end
"""


class Routes(Work):
    """Each request takes another rule of the table, so what finding one costs is in the figure, not only its first."""
    families, fresh, contenders = ("waypoint",), True, MESHES
    metrics = (CPU_REQUEST, RATE, RSS)

    def __init__(self, count):
        self.name, self.title = f"routes-{count}", f"1 KB responses over 32 connections, {count:,} routes"
        self.count, self.setup = count, Setup(routes=count)

    def measure(self, contender, seconds):
        script = contender.place / "routes.lua"
        script.write_text(ROUTE_SCRIPT.format(count=self.count))
        done, cpu = wrk(contender, seconds, "1k", 32, "-s", script)
        rss = max(p.rss() for p in contender.processes()) / 1e6
        return {"cpu_per_request": cpu / done.requests * 1e6, "rate": done.requests / seconds, "rss": rss}


class Idle(Work):
    """Each connection has carried one request and then holds still; the processes have done nothing else before."""
    name, title, fresh, metrics, families = "idle", "4,000 idle connections, each", True, (CLIENT_KB, SERVER_KB), ("l4",)
    contenders = EVERYBODY[1:]
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
    contenders = EVERYBODY[1:]

    def measure(self, contender, _seconds):
        return {"rss": max(p.rss() for p in contender.processes()) / 1e6}
