# SPDX-License-Identifier: Apache-2.0
"""Network namespaces that never outlive the run that made them.

Every name starts with `amb<pid>-`, the pid of the run. A guardian process, forked first, holds the read end of a pipe:
when the run ends, however it ends (kill -9 included), the pipe closes and the guardian ends every process in those
namespaces by its pid and removes them. A run whose guardian was killed as well is cleaned up by the next run.
"""
import contextlib
import ctypes
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess

RUN = pathlib.Path("/run/netns")
ETC = pathlib.Path("/etc/netns")
CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def ip(*arguments, stdin=None):
    """Runs iproute2; its own words are in the error."""
    done = subprocess.run(["ip", *arguments], input=stdin, text=True, capture_output=True)
    if done.returncode != 0:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}\n{stdin or ''}")
    return done.stdout


def batch(lines, netns=None):
    """Runs many iproute2 commands in one process, in a namespace (None: this one)."""
    ip(*(["-n", netns] if netns else []), "-batch", "-", stdin="\n".join(lines) + "\n")


@contextlib.contextmanager
def inside(netns):
    """This thread is in the namespace for the length of the block. Sockets made in it stay there."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(RUN / netns, os.O_RDONLY)
    try:
        _setns(there)
        yield
    finally:
        _setns(home)
        os.close(home)
        os.close(there)


def _setns(fd):
    if _libc.setns(fd, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def socket_in(netns, family=socket.AF_INET, kind=socket.SOCK_STREAM):
    with inside(netns):
        return socket.socket(family, kind)


def die_with_parent():
    """For a child between fork and exec: it ends when the thread that started it does."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def pids_in(netns):
    """The processes whose network namespace this is (not threads that only visit)."""
    try:
        wanted = os.stat(RUN / netns).st_ino
    except OSError:
        return []
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                if os.stat(f"/proc/{entry}/ns/net").st_ino == wanted:
                    found.append(int(entry))
    return found


def end_process(pid):
    """Kills one process and waits until it is gone (it may be somebody else's child)."""
    with contextlib.suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            _wait_readable(handle)
        finally:
            os.close(handle)


def _wait_readable(fd, seconds=5):
    import select
    select.select([fd], [], [], seconds)


def names(prefix):
    return sorted(p.name for p in RUN.glob(prefix + "*")) if RUN.exists() else []


def remove_all(prefix):
    """Removes every namespace of a run, the processes in it and its files under /etc/netns."""
    for netns in names(prefix):
        for pid in pids_in(netns):
            end_process(pid)
        subprocess.run(["ip", "netns", "del", netns], stderr=subprocess.DEVNULL)
    for left in ETC.glob(prefix + "*") if ETC.exists() else []:
        shutil.rmtree(left, ignore_errors=True)
    with contextlib.suppress(OSError):
        ETC.rmdir()  # only if empty: we may have made it


def reap_dead_runs():
    """Cleans up after runs whose process no longer exists."""
    both = names("amb") + [p.name for p in (ETC.glob("amb*") if ETC.exists() else [])]
    for prefix in {m[0] for m in (re.match(r"amb(\d+)-", name) for name in both) if m}:
        if not os.path.exists(f"/proc/{prefix[3:-1]}"):
            remove_all(prefix)


class Guardian:
    """Cleans up after this process, whatever becomes of it."""

    def __init__(self):
        reap_dead_runs()
        self.prefix = f"amb{os.getpid()}-"
        reader, self._writer = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._writer)
            self._watch(reader)
        os.close(reader)

    def _watch(self, reader):
        try:
            os.setsid()
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            with open(os.devnull, "r+b", 0) as null:
                for fd in (0, 1, 2):
                    os.dup2(null.fileno(), fd)
            os.read(reader, 1)
            remove_all(self.prefix)
        finally:
            os._exit(0)

    def close(self):
        """Cleans up now, and returns when that is done."""
        os.close(self._writer)
        os.waitpid(self._pid, 0)
