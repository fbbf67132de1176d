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


def serial_share(values, two, one, metric):
    """s: how much dearer by the second worker, 0 when it is not. None: not measured."""
    a, b = (values.get(("l4", work, metric, OURS), {}) for work in (two, one))
    ratios = [a[t] / b[t] for t in a if t in b and b[t] > 0]
    return max(statistics.median(ratios) - 1, 0) if ratios else None


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
    "  while their counts above stay near nothing: memory is per-thread in glibc's caches, configuration is read without a lock,",
    "  each counter has one writer. OpenSSL counts references with atomics on an SSL_CTX, its certificates and fetched",
    "  algorithms when a connection is made or closed, never per record: new connections on 64 workers would meet there.",
    "  Those atomics and shared_ptr's are inlined and not counted here; nothing above two workers was run.")


def estimate(values):
    """Lines of text; none when two workers were not measured."""
    shares = [(name, s) for name, *pair in PAIRS if (s := serial_share(values, *pair)) is not None]
    if not shares:
        return []
    lines = ["ESTIMATE, not measured: what more workers would do, from what the second one cost on two shared cores"]
    for name, s in shares:
        said = ", ".join(f"{n} workers {times(s, n):.3g}×" for n in WORKERS)
        lines.append(f"  {name}: the second worker made the work {s * 100:.0f} % dearer; {said} (at best {', '.join(f'{n}×' for n in WORKERS)})")
    return [*lines, *counted_lines(values), *STOPS]
