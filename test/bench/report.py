# SPDX-License-Identifier: Apache-2.0
"""What came out: the goals first, then median, min and max of each metric and ours over the other's, as text and JSON.

A ratio is the median of the rounds' ratios, because the two of one round ran side by side and rounds differ. A
contender that failed in any round has no row but a reason. One that lies further than 1.5× from what is known of it is
misconfigured or was disturbed: it has no figures either and the run is void, unless the reader forces it. What is known
of CPU time is known of one machine: it counts for another by how fast that one is without any proxy.
"""
import json
import statistics

import goals
import scale
from contenders import NONE, OURS, OURS_35

# Medians known from careful measurement (two EPYC cores). Further than TOLERANCE off: misconfigured, or disturbed.
KNOWN = {("l4", "bulk-1", "cpu_per_gb", "envoy"): 1.44, ("l4", "requests-32", "cpu_per_request", "envoy"): 26.8,
         ("l4", "requests-1", "cpu_per_request", "envoy"): 77, ("l4", "connections", "cpu_per_connection", "envoy"): 190,
         ("l4", "start-up", "rss", "envoy"): 67, ("waypoint", "requests-32", "cpu_per_request", "envoy"): 40,
         ("waypoint", "connections", "cpu_per_connection", "envoy"): 113, ("waypoint", "start-up", "rss", "envoy"): 67,
         ("waypoint", "requests-100k", "cpu_per_gb", "envoy"): 1.87, ("waypoint", "requests-1", "cpu_per_request", "envoy"): 126}
UNPROXIED = {("bulk-1", "speed"): 19, ("requests-32", "rate"): 125_000, ("connections", "rate"): 17_000}  # the same machine
TOLERANCE = 1.5
TITLES = {"l4": "L4: both sides of a captured path", "waypoint": "Waypoint between two of our ztunnels (they are not counted)"}
BASE = {"l4": ("l4", NONE), "waypoint": ("l4", OURS)}  # what a latency is added to


class Report:
    """Collects with add() and void(); then text() and json(), and goals() and rows() for a page. `micro`: what the
    micro-benchmarks said. forced: figures far from what is known are printed with a warning."""

    def __init__(self, works, facts, forced=False):
        self.works, self.facts, self.forced, self.micro = works, facts, forced, []
        self._values, self._voids = {}, {}  # (family, work, metric, contender): {round: value}; without metric: reason

    def add(self, turn, family, work, contender, values):
        for metric, value in values.items():
            self._values.setdefault((family, work, metric, contender), {})[turn] = value

    def void(self, family, work, contender, why):
        self._voids.setdefault((family, work, contender), why)

    def sound(self):
        """The values that mean something, latencies added by the path included."""
        good = {key: values for key, values in self._values.items()
                if (key[0], key[1], key[3]) not in self._voids and (self.forced or not self._unlike_known(key))}
        return good | added_latencies(good)

    def goals(self):
        values = self.sound()
        return [goals.judge(goal, values) for goal in goals.GOALS]

    def estimate(self):
        return scale.estimate(self.sound())

    def troubles(self):
        """Why this run, or a part of it, says nothing. Empty: all is well."""
        found = [f"{family}/{work} {contender}: {why}" for (family, work, contender), why in self._voids.items()]
        return found + [f"{'/'.join(key[:2])} {key[3]}: {key[2]} {why}" for key in self._values if (why := self._unlike_known(key))]

    def _unlike_known(self, key):
        known, values = KNOWN.get(key), self._values[key].values()
        if known and key[2].startswith("cpu"):
            known *= self._slowness(key[1])
        if not known or known / TOLERANCE <= statistics.median(values) <= known * TOLERANCE:
            return None
        return (f"{statistics.median(values):.3g} is further than {TOLERANCE}× from {known:.3g}, which is known of it: "
                "misconfigured, disturbed, or another kind of machine (--force)")

    def _slowness(self, work):
        """This machine's time over that of the one KNOWN comes from, without proxies: in that work where it was measured,
        else in the median of what was; 1 where nothing was."""
        measured = {name: expected / statistics.median(self._values[key].values()) for (name, metric), expected in UNPROXIED.items()
                    if (key := ("l4", name, metric, NONE)) in self._values}
        return measured.get(work) or (statistics.median(measured.values()) if measured else 1)

    def rows(self):
        """One dict per work, metric and contender that has figures or a reason for having none."""
        values, found = self.sound(), []
        names = list(dict.fromkeys([c for *_, c in self._values] + [c for *_, c in self._voids]))
        for family in TITLES:
            for work in self.works:
                about = {"family": family, "work": work.name, "title": work.title}
                found += [about | {"metric": None, "unit": "", "lower_is_better": True, "contender": c,
                                   "void": self._voids[family, work.name, c]} for c in names if (family, work.name, c) in self._voids]
                for metric, unit, lower in metrics_of(work):
                    for contender in names:
                        if row := self._row((family, work.name, metric, contender), values):
                            found.append(about | {"metric": metric, "unit": unit, "lower_is_better": lower,
                                                  "contender": contender} | row)
        return found

    def _row(self, key, values):
        if mine := list(values.get(key, {}).values()):
            row = {"values": mine, "median": statistics.median(mine), "min": min(mine), "max": max(mine)}
            return row | against(key, values)
        if key in self._values and (key[0], key[1], key[3]) not in self._voids:
            return {"void": self._unlike_known(key)}
        return None

    def text(self):
        parts = [warning(self.troubles(), self.forced), goal_table(self.goals()), row_table(self.rows())]
        return "\n\n".join(filter(None, [*parts, micro_table(self.micro), "\n".join(self.estimate())]))

    def json(self):
        return json.dumps(self.facts | {"void": self.troubles(), "forced": self.forced, "goals": self.goals(), "rows": self.rows(),
                                        "micro": self.micro, "estimate": self.estimate()}, indent=1, ensure_ascii=False)


def metrics_of(work):
    added = [("added_p50", "added p50 µs", True), ("added_p99", "added p99 µs", True)] if work.name == "latency" else []
    return [(m.key, m.unit, m.lower) for m in work.metrics] + added


def added_latencies(values):
    """What each path adds to the one without it, round by round."""
    found = {}
    for (family, work, metric, contender), mine in values.items():
        base = values.get((BASE[family][0], work, metric, BASE[family][1]))
        if work == "latency" and metric in ("p50", "p99") and base and (family, contender) != BASE[family]:
            found[family, work, f"added_{metric}", contender] = {t: v - base[t] for t, v in mine.items() if t in base}
    return {key: mine for key, mine in found.items() if mine}


def against(key, values):
    """{"ratio": ours over this contender}, of the build with VAES where it was measured."""
    family, work, metric, contender = key
    if contender in (OURS, OURS_35):
        return {}
    ours = next((values[k] for b in (OURS_35, OURS) if (k := (family, work, metric, b)) in values), {})
    pairs = [(ours[t], v) for t, v in values[key].items() if t in ours]
    if not pairs or min(min(pair) for pair in pairs) <= 0:
        return {}
    return {"ratio": statistics.median(mine / other for mine, other in pairs)}


def number(value):
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def spread(found):
    return f"{number(found['median'])} ({number(found['min'])} … {number(found['max'])})"


def figures(row):
    if "void" in row:
        return f"void: {row['void']}"
    said = f"  ours/it {row['ratio']:.2f}" if "ratio" in row else ""
    return f"{number(row['median']):>9}  {number(row['min'])} … {number(row['max'])}{said}"


def warning(troubles, forced):
    if not troubles:
        return ""
    head = "These figures are far from what is known and were forced:" if forced else "This run is VOID where it says so:"
    return "\n".join([head, *(f"  {why}" for why in troubles)])


def verdict(goal):
    return {None: "not measured", True: "reached", False: "MISSED"}[goal["reached"]]


def goal_table(judged):
    lines = ["Goals: median (min … max) of the rounds; * is the build that counts (against Envoy the one with VAES)"]
    for goal in judged:
        said = "   ".join(f"{'*' if build == goal['build'] else ''}{build} {spread(found)}" for build, found in goal["by"].items())
        lines.append(f"  {verdict(goal):12}  {goal['title']:58} {goal['sign']} {goal['limit']:<5g}  {said}".rstrip())
    return "\n".join(lines)


def row_table(rows):
    lines, heading = [], None
    for row in rows:
        here = (row["family"], row["work"])
        if here != heading:
            if heading is None or here[0] != heading[0]:
                lines += ["", TITLES[here[0]]]
            lines += ["", f"  {row['title']}"]
            heading = here
        lines.append(f"    {row['unit']:34} {row['contender']:12} {figures(row)}")
    return "\n".join(lines[1:])


def micro_table(micro):
    lines = [f"  {m['name']:44} {number(m['ns']):>10}  {number(m['bytes_per_s'] / 1e6) if m['bytes_per_s'] else '':>9}  "
             f"{m['news']:>8.3g}  {m['mallocs']:>9.3g}" for m in micro]
    head = f"  {'':44} {'ns per op':>10}  {'MB/s':>9}  {'our news':>8}  {'libraries':>9}"
    return "\n".join(["Micro-benchmarks: pieces alone, in one thread; allocations per operation", head, *lines]) if micro else ""
