# SPDX-License-Identifier: Apache-2.0
"""What ambientd has to reach, and how far it did. Pure: measured values in, verdicts out.

A goal is a figure of ours, or a figure of ours over another one: a contender's on the same work, or our own on another
work. The two of one round ran close together and rounds differ, so it is the rounds' ratios that are compared.
"""
import statistics
from dataclasses import dataclass

from contenders import ENVOY, OURS, OURS_35

SIDES = ("client", "server")


@dataclass(frozen=True)
class Goal:
    title: str
    family: str
    work: str
    metric: str
    limit: float
    to: tuple = ()  # (work, metric, contender): what ours is divided by; contender None: ours
    least: bool = False  # the limit is the least, not the most
    slack: float = 0  # of a count: what timers, pings and logs add to it meanwhile

    @property
    def sign(self):
        return "≥" if self.least else "≤"

    @property
    def needs_vaes(self):
        """Envoy brings AES-GCM with VAES; ours has it from OpenSSL 3.1 on."""
        return bool(self.to) and self.to[2] == ENVOY


def _envoy(title, family, work, metric, limit):
    return Goal(f"{title}, ours / Envoy", family, work, metric, limit, (work, metric, ENVOY))


def _sides(title, work, metric, limit, least=False, slack=0.0):
    """metric: with {} where the side's name goes."""
    return [Goal(f"{title}, {side}'s ztunnel", "l4", work, metric.format(side), limit, least=least, slack=slack) for side in SIDES]


GOALS = (
    _envoy("L4: CPU per GB, one bulk stream", "l4", "bulk-1", "cpu_per_gb", 0.70),
    _envoy("L4: CPU per request, 32 connections", "l4", "requests-32", "cpu_per_request", 0.78),
    _envoy("L4: CPU per request, one connection", "l4", "requests-1", "cpu_per_request", 0.9),
    _envoy("L4: CPU per new connection", "l4", "connections", "cpu_per_connection", 0.55),
    _envoy("L4: start-up RSS", "l4", "start-up", "rss", 0.15),
    Goal("L4: start-up RSS, MB", "l4", "start-up", "rss", 10),
    *_sides("L4: KB per idle connection", "idle", "{}_kb", 2.1),
    *_sides("L4: allocations of ours per request", "counted-1", "news_{}", 0, slack=0.05),
    *_sides("L4: data calls per request", "calls-1", "data_{}", 4, slack=0.05),
    *_sides("L4: polls per request", "calls-1", "polls_{}", 2, slack=0.05),
    *_sides("L4: KB per data call, upload", "counted-bulk", "kb_up_{}", 64, least=True),
    *_sides("L4: KB per data call, download", "counted-bulk", "kb_down_{}", 64, least=True),
    Goal("L4: speed of eight streams, two workers / one", "l4", "bulk-8-2w", "speed", 1.2, ("bulk-8", "speed", None), True),
    Goal("L4: CPU per request, two workers / one", "l4", "requests-32-2w", "cpu_per_request", 1.10,
         ("requests-32", "cpu_per_request", None)),
    Goal("L4: p99 beside a stalled stream / without", "l4", "stalled", "p99_beside", 1.5, ("stalled", "p99_alone", None)),
    _envoy("Waypoint: CPU per request", "waypoint", "requests-32", "cpu_per_request", 0.4),
    _envoy("Waypoint: CPU per new connection", "waypoint", "connections", "cpu_per_connection", 0.4),
    _envoy("Waypoint: CPU per GB of 100 KB responses", "waypoint", "requests-100k", "cpu_per_gb", 0.65),
    _envoy("Waypoint: p50 it adds", "waypoint", "latency", "added_p50", 0.5),
    _envoy("Waypoint: p99 it adds", "waypoint", "latency", "added_p99", 0.5),
    Goal("Waypoint: CPU per request, 5,000 routes / 10", "waypoint", "routes-5000", "cpu_per_request", 1.05,
         ("routes-10", "cpu_per_request", None)),
    Goal("Waypoint: RSS with 5,000 routes, MB", "waypoint", "routes-5000", "rss", 40),
    Goal("Waypoint: start-up RSS, MB", "waypoint", "start-up", "rss", 12),
)


def figures(goal, values, ours):
    """A figure a round for one of our builds. values: {(family, work, metric, contender): {round: value}}."""
    mine = values.get((goal.family, goal.work, goal.metric, ours), {})
    if not goal.to:
        return list(mine.values())
    work, metric, contender = goal.to
    theirs = values.get((goal.family, work, metric, contender or ours), {})
    pairs = [(mine[t], theirs[t]) for t in mine if t in theirs]
    if any(value <= 0 for pair in pairs for value in pair):  # an added latency below nothing is noise, not a ratio
        return []
    return [a / b for a, b in pairs]


def judge(goal, values, builds=(OURS, OURS_35)):
    """{title, sign, limit, by: {build: {median, min, max, reached}}, build: whose figure counts, reached}, the last two
    None while nothing was measured. Against Envoy the build with VAES counts where it was measured, else the default."""
    by = {}
    for ours in builds:
        if found := figures(goal, values, ours):
            middle = statistics.median(found)
            reached = middle >= goal.limit if goal.least else middle <= goal.limit + goal.slack
            by[ours] = {"median": middle, "min": min(found), "max": max(found), "reached": reached}
    order = (OURS_35, OURS) if goal.needs_vaes else (OURS, OURS_35)
    counts = next((build for build in order if build in by), None)
    return {"title": goal.title, "sign": goal.sign, "limit": goal.limit, "by": by, "build": counts,
            "reached": by[counts]["reached"] if counts else None}
