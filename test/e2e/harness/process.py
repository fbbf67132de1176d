# SPDX-License-Identifier: Apache-2.0
"""A child process in a namespace whose output can be waited on, line by line."""
import contextlib
import os
import pathlib
import signal
import subprocess
import threading
import time

from . import netns as ns

ROOT = pathlib.Path(__file__).resolve().parents[3]
BINARY = pathlib.Path(os.environ.get("AMBIENTD") or ROOT / "build/release/ambientd").absolute()
PASSED_ON = ("PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS", "LANG")


def environment(extra=None):
    """A small, known environment: what a developer has exported must not change a test."""
    env = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    env["PATH"] = env.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"
    env.setdefault("ASAN_SYMBOLIZER_PATH", "/usr/bin/llvm-symbolizer-19")
    return env | (extra or {})


class Lines:
    """The lines a process has printed so far. A mark is a position: `m = lines.mark()`, act, `lines.wait(..., since=m)`."""

    def __init__(self):
        self._lines, self._ended = [], False
        self._changed = threading.Condition()

    def add(self, line):
        with self._changed:
            self._lines.append(line)
            self._changed.notify_all()

    def end(self):
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def mark(self):
        with self._changed:
            return len(self._lines)

    def since(self, mark=0):
        with self._changed:
            return self._lines[mark:]

    def wait(self, wanted, timeout=5.0, since=0, count=1):
        """The first `count` values of wanted(line) that are not None or False, as a list. AssertionError on timeout."""
        deadline = time.monotonic() + timeout
        found, at = [], since
        with self._changed:
            while True:
                for line in self._lines[at:]:
                    at += 1
                    if value := wanted(line):
                        found.append(value)
                        if len(found) == count:
                            return found
                left = deadline - time.monotonic()
                if self._ended or left <= 0 or not self._changed.wait(left) and self._ended:
                    break
        tail = "\n".join(self.since(since)[-30:])
        raise AssertionError(f"{len(found)} of {count} expected lines within {timeout} s; the log says:\n{tail}")

    def wait_change(self, timeout):
        with self._changed:
            if not self._ended:
                self._changed.wait(timeout)


class Process:
    """A running child. Its output (both streams) goes to a file and to `lines`."""

    def __init__(self, arguments, netns=None, env=None, log=None, encoding="utf-8"):
        self.encoding = encoding
        self.arguments = [str(a) for a in arguments]
        command = (["ip", "netns", "exec", netns] if netns else []) + self.arguments
        self.lines = Lines()
        self._log = open(log, "ab") if log else None
        self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, env=environment(env), cwd="/",
                                      preexec_fn=ns.die_with_parent)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for raw in self.child.stdout:
            if self._log:
                self._log.write(raw)
                self._log.flush()
            self.lines.add(raw.decode(self.encoding, errors="replace").rstrip("\n"))
        self.lines.end()

    @property
    def pid(self):
        return self.child.pid

    def alive(self):
        return self.child.poll() is None

    def signal(self, number):
        with contextlib.suppress(ProcessLookupError):
            self.child.send_signal(number)

    def kill(self):
        self.signal(signal.SIGKILL)
        self.wait()

    def wait(self, timeout=10):
        """The exit status, once its output has been read to the end."""
        status = self.child.wait(timeout)
        self._reader.join(timeout)
        if self._log:
            self._log.close()
            self._log = None
        return status

    def stop(self, timeout=15):
        """SIGTERM and wait; SIGKILL for one that will not go (AssertionError then)."""
        self.signal(signal.SIGTERM)
        try:
            return self.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.arguments[:2]} did not end within {timeout} s of SIGTERM")

    def rss(self):
        """Resident bytes."""
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError(f"{self.arguments[0]} is gone")

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(arguments, netns=None, env=None, timeout=10, **options):
    """Runs a program to its end; subprocess.CompletedProcess with text output."""
    command = (["ip", "netns", "exec", netns] if netns else []) + [str(a) for a in arguments]
    options.setdefault("text", True)
    options.setdefault("stdin", subprocess.DEVNULL)
    if "input" in options:
        options.pop("stdin")
    return subprocess.run(command, capture_output=True, env=environment(env), timeout=timeout, cwd="/",
                          preexec_fn=ns.die_with_parent, **options)
