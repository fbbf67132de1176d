# SPDX-License-Identifier: Apache-2.0
"""What the load tools and strace print, as numbers. Pure: text in, values out; Void when a run says nothing."""
import json
import re
from dataclasses import dataclass

UNITS = {"us": 1, "ms": 1e3, "s": 1e6, "m": 6e7}  # in µs
# A call that moves bytes of a connection, and one that waits for them. Whatever else there is counts as "other".
DATA = {"read", "readv", "recvfrom", "recvmsg", "recvmmsg", "write", "writev", "sendto", "sendmsg", "sendmmsg", "splice"}
POLLS = {"epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "select", "pselect6"}


class Void(Exception):
    """Why a measurement says nothing."""


def iperf3(text):
    """(bytes that arrived, bits per second) of `iperf3 -J`."""
    try:
        said = json.loads(text)
    except ValueError:
        raise Void(f"iperf3: {text.strip()[-200:]}")
    if "error" in said:
        raise Void(f"iperf3: {said['error']}")
    arrived = said["end"]["sum_received"]
    if arrived["bytes"] <= 0:
        raise Void("iperf3: not one byte arrived")
    return arrived["bytes"], arrived["bits_per_second"]


@dataclass(frozen=True)
class WrkResult:
    requests: int
    latency: dict  # "50", "99": µs


def wrk(text):
    """Void when anything but 2xx came, connections failed or nothing was answered."""
    if wrong := re.search(r"Non-2xx.*|Socket errors.*", text):
        raise Void(f"wrk: {wrong[0].strip()}")
    answered = re.search(r"(\d+) requests in", text)
    if not answered or int(answered[1]) == 0:
        raise Void("wrk: not one request was answered")
    latency = {p: float(n) * UNITS[u] for p, n, u in re.findall(r"^\s+(50|99)%\s+([\d.]+)(us|ms|s|m)\b", text, re.M)}
    return WrkResult(int(answered[1]), latency)


def percentile(ordered, percent):
    """Of a sorted list, without interpolation."""
    return ordered[min(len(ordered) * percent // 100, len(ordered) - 1)]


def h2load_log(text, total, rate):
    """The answers' times in µs, sorted, from `--log-file` (start, status, µs). Void unless `total` requests were
    answered with 200 and asked at 0.95 of `rate` per second at least."""
    rows = [line.split("\t") for line in text.splitlines()]
    good = sorted(int(row[2]) for row in rows if row[1] == "200")
    if len(good) != total:
        raise Void(f"h2load: {len(good)} of {total} requests were answered with 200")
    starts = [int(row[0]) for row in rows]
    asked = total / (max(max(starts) - min(starts), 1) / 1e6)
    if asked < 0.95 * rate:
        raise Void(f"h2load: {asked:.0f} requests a second, not {rate}")
    return good


def strace_counts(text):
    """{syscall: calls} of `strace -c`. Void when there is no table."""
    table = re.search(r"^% time .*?\n-[- ]+\n(.*?)^-[- ]+$", text, re.M | re.S)
    if not table:
        raise Void(f"strace: {text.strip()[-200:] or 'it says nothing'}")
    rows = (line.split() for line in table[1].splitlines())  # % time, seconds, µs/call, calls, [errors,] syscall
    return {row[-1]: int(row[3]) for row in rows if len(row) >= 5}


def by_kind(counts):
    """strace_counts() as {"data", "polls", "futex", "other": calls}."""
    kinds = {"data": 0, "polls": 0, "futex": 0, "other": 0}
    for name, calls in counts.items():
        kind = "data" if name in DATA else "polls" if name in POLLS else "futex" if name == "futex" else "other"
        kinds[kind] += calls
    return kinds
