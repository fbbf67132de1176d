# SPDX-License-Identifier: Apache-2.0
"""The binary in its two modes, started as an operator would, and its logs as values."""
import http.client
import json
import re
import time

from . import netns as ns
from .process import BINARY, Process

FIELD = re.compile(r'([a-z_.]+)=("(?:[^"\\]|\\.)*"|\S+)')
ENVOY = re.compile(
    r'\[(?P<start>[^\]]*)\] "(?P<method>\S+) (?P<path>\S+) (?P<protocol>[^"]+)" (?P<code>\d+) (?P<flags>\S+) '
    r'(?P<details>.+?) (?P<termination>\S+) "(?P<transport_failure>[^"]*)" (?P<received>\S+) (?P<sent>\S+) '
    r'(?P<duration>\S+) (?P<upstream_time>\S+) "(?P<xff>[^"]*)" "(?P<agent>[^"]*)" "(?P<request_id>[^"]*)" '
    r'"(?P<authority>[^"]*)" "(?P<upstream_host>[^"]*)" (?P<cluster>\S+) (?P<upstream_local>\S+) '
    r'(?P<downstream_local>\S+) (?P<downstream_remote>\S+) (?P<server_name>\S+) (?P<route>\S+)$')


def connection_record(line):
    """A ztunnel access log line (contract/ztunnel.md §12) as a dict, or None: level, message and every field."""
    parts = line.split("\t")
    if len(parts) < 5 or not parts[2].startswith("access"):
        return None
    record = {"level": parts[1], "message": parts[3]}
    for key, value in FIELD.findall(parts[4]):
        record[key] = json.loads(value) if value.startswith('"') else value
    return record


def request_record(line):
    """A waypoint access log line (contract/waypoint.md §4.4) as a dict, or None."""
    found = ENVOY.search(line)
    return found.groupdict() if found else None


def matches(record, fields):
    """Whether every wanted field is there: equal to a string, or accepted by a function."""
    return record is not None and all(
        want(record.get(key)) if callable(want) else record.get(key) == want for key, want in fields.items())


class Proxy:
    """One ambientd process, and its ports in the namespace it runs in."""

    binary = BINARY  # another one may be set before start()

    def __init__(self, netns, arguments, env, log):
        self.netns, self.arguments, self.env, self.log = netns, arguments, env, log
        self.process = None

    def start(self, ready=True, timeout=10):
        self.process = Process([self.binary, *self.arguments], self.netns, self.env, self.log)
        if ready:
            self.wait_ready(timeout)
        return self

    def wait_ready(self, timeout=10):
        """Until 15021 says 200; AssertionError with what it said, or with the log when the process has ended."""
        deadline, said = time.monotonic() + timeout, "nothing"
        while time.monotonic() < deadline:
            if not self.process.alive():
                self.process.wait()
                tail = "\n".join(self.lines.since()[-20:])
                raise AssertionError(f"{' '.join(self.process.arguments)} ended with {self.process.child.returncode}:\n{tail}")
            try:
                status, said = self.get(15021, "/healthz/ready")
                if status == 200:
                    return
            except OSError as error:
                said = str(error)
            self.lines.wait_change(0.02)
        raise AssertionError(f"not ready after {timeout} s; 15021 says: {said}")

    @property
    def lines(self):
        return self.process.lines

    @property
    def pid(self):
        return self.process.pid

    def get(self, port, path, method="GET"):
        """(status, body) from one of the process's own HTTP ports."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with ns.inside(self.netns):
            connection.connect()
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def metrics(self):
        """{series with labels: value} from 15020."""
        status, body = self.get(15020, "/metrics")
        assert status == 200, body
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
                for line in body.splitlines() if line and not line.startswith("#")}

    def counter(self, family, **labels):
        """The sum over every series of a family that has these labels."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        return sum(value for series, value in self.metrics().items()
                   if series.partition("{")[0] == family and all(w in series for w in wanted))

    def dump(self):
        status, body = self.get(15000, "/config_dump")
        assert status == 200, body
        return json.loads(body)

    def mark(self):
        return self.lines.mark()

    def wait_line(self, pattern, since=0, timeout=5):
        """The first line that the pattern is found in."""
        return self.lines.wait(lambda line: line if re.search(pattern, line) else None, timeout, since)[0]

    def stop(self):
        """SIGTERM; the exit status has to be 0 (a sanitizer's report makes it something else)."""
        if self.process and self.process.child.returncode is None:
            status = self.process.stop()
            assert status == 0, f"exit status {status}:\n" + "\n".join(self.lines.since()[-40:])

    def kill(self):
        self.process.kill()


class Ztunnel(Proxy):
    """A node's ztunnel, in the node's namespace, serving its captured pods."""

    def __init__(self, node, identity_flags, config, log, env=None):
        pods = [f"--pod={p.path}=/run/netns/{p.netns}" for p in node.pods if p.captured]
        super().__init__(node.netns, ["--mode=ztunnel", f"--config={config}", *pods, *identity_flags],
                         {"NODE_NAME": node.name} | (env or {}), log)

    def connection(self, since=0, timeout=5, **fields):
        """The first access log record with these fields (dots in names are written `__`)."""
        fields = {key.replace("__", "."): want for key, want in fields.items()}
        return self.lines.wait(lambda line: (r := connection_record(line)) if matches(
            connection_record(line), fields) else None, timeout, since)[0]

    def connections(self, since=0):
        return [r for r in map(connection_record, self.lines.since(since)) if r]


class Waypoint(Proxy):
    """A waypoint in its own pod, which is not captured."""

    def __init__(self, pod, identity_flags, config, log, env=None):
        super().__init__(pod.netns, ["--mode=waypoint", f"--workload={pod.path}", f"--config={config}",
                                     *identity_flags], env, log)

    def request(self, since=0, timeout=5, **fields):
        """The first access log record with these fields."""
        return self.lines.wait(lambda line: (r := request_record(line)) if matches(request_record(line), fields)
                               else None, timeout, since)[0]

    def requests(self, since=0):
        return [r for r in map(request_record, self.lines.since(since)) if r]
