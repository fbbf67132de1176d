# SPDX-License-Identifier: Apache-2.0
"""An estimate, never a measurement, of what more workers would do, from what two showed and what was counted. Pure.

One number is taken from the run: by how much a request or a byte became dearer with the second worker (s). The rest is
the simplest law with one number: with n workers each costs 1 + s (n - 1) as much, so n workers do n / (1 + s (n - 1))
of one's work. It is the pessimistic half of what is known: whatever else the second worker cost on two shared
cores (smaller batches, cold caches, a load tool on the same core) is taken for contention.
"""
import statistics

from contenders import OURS

WORKERS = (8, 64)
PAIRS = (("requests", "requests-32-2w", "requests-32", "cpu_per_request"), ("bulk", "bulk-8-2w", "bulk-8", "cpu_per_gb"))


def serial_shares(values, two, one, metric):
    """(median, worst) s of the rounds: how much dearer by the second worker, 0 when it is not. None: not measured."""
    a, b = (values.get(("l4", work, metric, OURS), {}) for work in (two, one))
    ratios = [a[t] / b[t] for t in a if t in b and b[t] > 0]
    return tuple(max(ratio - 1, 0) for ratio in (statistics.median(ratios), max(ratios))) if ratios else None


def times(s, n):
    """How much of one worker's work n do."""
    return n / (1 + s * (n - 1))


def median(values, work, metric):
    found = values.get(("l4", work, metric, OURS))
    return statistics.median(found.values()) if found else None


def counted_lines(values):
    """What every worker shares, per request in each ztunnel with 32 connections busy."""
    names = (("mutexes", "mutexes taken"), ("rwlocks", "rwlocks taken (OpenSSL's own)"), ("news", "allocations of ours"),
             ("mallocs", "allocations of the libraries"))
    lines = []
    for key, title in names:
        sides = [median(values, "counted-32", f"{key}_{side}") for side in ("client", "server")]
        if None not in sides:
            lines.append(f"  {title}: {sides[0]:.3g} + {sides[1]:.3g} a request")
    futex = [median(values, "calls-32", f"futex_{side}") for side in ("client", "server")]
    if None not in futex:
        lines.append(f"  futex calls (a lock somebody had to wait for): {futex[0]:.3g} + {futex[1]:.3g} a request")
    return lines


STOPS = (
    "  What would stop it, in the order we expect: the kernel first (loopback, conntrack and the accept queue of one listener",
    "  are shared by all workers); then one source-destination pair, which by design has one HBONE connection and so one",
    "  worker; then smaller batches, as each worker has fewer connections to gather from. Locks and the allocator come last",
    "  while their counts above stay near nothing: glibc gives threads caches and arenas of their own, configuration is read",
    "  without a lock, each counter has one writer. OpenSSL counts references to an SSL_CTX, its certificates and algorithms",
    "  with atomics shared by all workers; they and shared_ptr's are inlined, so they are not counted here, and new",
    "  connections on 64 workers are where we expect them to meet. Nothing above two workers was run.")


def estimate(values):
    """Lines of text; none when two workers were not measured."""
    shares = [(name, *found) for name, *pair in PAIRS if (found := serial_shares(values, *pair))]
    if not shares:
        return []
    lines = ["ESTIMATE, not measured: what more workers would do, from what the second one cost on two shared cores"]
    for name, middle, worst in shares:
        said = ", ".join(f"{n} workers {times(middle, n):.3g}× ({times(worst, n):.3g}×)" for n in WORKERS)
        lines.append(f"  {name}: the second worker made the work {middle * 100:.0f} % dearer, {worst * 100:.0f} % in the worst round; "
                     f"by the median (by the worst): {said}")
    lines.append("  A median of 0 % says that two cores cannot show what stops more of them, not that nothing does.")
    return [*lines, *counted_lines(values), *STOPS]
