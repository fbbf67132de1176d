# SPDX-License-Identifier: Apache-2.0
"""What came out: median, min and max of each metric, and ours over the other's, as text, JSON and one HTML page.

A ratio is the median of the rounds' ratios, because the two of one round ran side by side and rounds differ. A
contender that failed in any round, or that lies further than 1.5× from what is known of it, has no row but a reason.
"""
import html
import json
import statistics

from contenders import OURS

# Medians known from careful measurement (two EPYC cores). Further than TOLERANCE off: misconfigured, or another machine.
KNOWN = {("l4", "bulk-1", "cpu_per_gb", "envoy"): 1.44, ("l4", "requests-32", "cpu_per_request", "envoy"): 26.8,
         ("l4", "requests-1", "cpu_per_request", "envoy"): 77, ("l4", "connections", "cpu_per_connection", "envoy"): 190,
         ("l4", "start-up", "rss", "envoy"): 67, ("waypoint", "requests-32", "cpu_per_request", "envoy"): 40,
         ("waypoint", "connections", "cpu_per_connection", "envoy"): 113, ("waypoint", "start-up", "rss", "envoy"): 67,
         ("waypoint", "requests-100k", "cpu_per_gb", "envoy"): 1.87, ("waypoint", "requests-1", "cpu_per_request", "envoy"): 126}
TOLERANCE = 1.5
# What ours has to reach: a ratio to a contender, or (None) an absolute figure of ours.
GOALS = {("l4", "bulk-1", "cpu_per_gb", "envoy"): 0.70, ("l4", "requests-32", "cpu_per_request", "envoy"): 0.78,
         ("l4", "requests-1", "cpu_per_request", "envoy"): 0.9, ("l4", "connections", "cpu_per_connection", "envoy"): 0.55,
         ("l4", "start-up", "rss", "envoy"): 0.15, ("l4", "start-up", "rss", None): 10,
         ("l4", "idle", "client_kb", None): 2.1, ("l4", "idle", "server_kb", None): 2.1,
         ("waypoint", "requests-32", "cpu_per_request", "envoy"): 0.4,
         ("waypoint", "connections", "cpu_per_connection", "envoy"): 0.4,
         ("waypoint", "requests-100k", "cpu_per_gb", "envoy"): 0.65, ("waypoint", "start-up", "rss", None): 12,
         ("waypoint", "latency", "added_p50", "envoy"): 0.5, ("waypoint", "latency", "added_p99", "envoy"): 0.5}
TITLES = {"l4": "L4: both sides of a captured path", "waypoint": "Waypoint between two of our ztunnels (they are not counted)"}
BASE = {"l4": ("l4", "none"), "waypoint": ("l4", OURS)}  # what a latency is added to


class Report:
    """Collects with add() and void(); then text(), json() and html()."""

    def __init__(self, works, facts, known=True):
        self.works, self.facts, self.known = works, facts, known
        self._values, self._voids = {}, {}  # (family, work, metric, contender): {round: value}; without metric: reason

    def add(self, turn, family, work, contender, values):
        for metric, value in values.items():
            self._values.setdefault((family, work, metric, contender), {})[turn] = value

    def void(self, family, work, contender, why):
        self._voids.setdefault((family, work, contender), why)

    def rows(self):
        """One dict per work, metric and contender that has figures or a reason for having none."""
        self._add_latencies()
        names = list(dict.fromkeys([c for *_, c in self._values] + [c for *_, c in self._voids]))
        found = []
        for family in TITLES:
            for work in self.works:
                voids = [self._row(family, work.name, None, c) for c in names if (family, work.name, c) in self._voids]
                found += [{"title": work.title, "unit": "", "lower_is_better": True} | row for row in voids]
                for metric, unit, lower in self._metrics(work):
                    for contender in names:
                        row = self._row(family, work.name, metric, contender)
                        if row:
                            found.append({"title": work.title, "unit": unit, "lower_is_better": lower} | row)
        return found

    @staticmethod
    def _metrics(work):
        added = [("added_p50", "added p50 µs", True), ("added_p99", "added p99 µs", True)] if work.name == "latency" else []
        return [(m.key, m.unit, m.lower) for m in work.metrics] + added

    def _add_latencies(self):
        for (family, work, metric, contender), values in list(self._values.items()):
            base_family, base = BASE[family]
            without = self._values.get((base_family, work, metric, base))
            if work == "latency" and metric in ("p50", "p99") and without and (family, contender) != (base_family, base):
                added = {t: v - without[t] for t, v in values.items() if t in without}
                self._values[family, work, f"added_{metric}", contender] = added

    def _row(self, family, work, metric, contender):
        key = (family, work, metric, contender)
        row = {"family": family, "work": work, "metric": metric, "contender": contender}
        if why := self._voids.get((family, work, contender)):
            return row | {"void": why} if metric is None else None  # one reason, whatever the metrics
        if not (values := list(self._values.get(key, {}).values())):
            return None
        middle, known = statistics.median(values), KNOWN.get(key)
        if self.known and known and not known / TOLERANCE <= middle <= known * TOLERANCE:
            return row | {"void": f"{middle:.3g} is further than {TOLERANCE}× from {known}, which is known of it: "
                                  "misconfigured or disturbed (--no-known on another kind of machine)"}
        return row | {"values": values, "median": middle, "min": min(values), "max": max(values)} | self._against(key)

    def _against(self, key):
        """Ours over this contender, or ours against an absolute goal."""
        family, work, metric, contender = key
        if contender == OURS:
            goal, figure = GOALS.get((family, work, metric, None)), statistics.median(self._values[key].values())
            return {} if goal is None else {"goal": goal, "reached": figure <= goal}
        ours = {} if (family, work, OURS) in self._voids else self._values.get((family, work, metric, OURS), {})
        pairs = [(ours[t], v) for t, v in self._values[key].items() if t in ours]
        if not pairs or min(min(pair) for pair in pairs) <= 0:  # an added latency below nothing is noise, not a ratio
            return {}
        ratios = [mine / other for mine, other in pairs]
        goal, ratio = GOALS.get(key), statistics.median(ratios)
        return {"ratio": ratio} | ({} if goal is None else {"goal": goal, "reached": ratio <= goal})

    def text(self):
        lines, heading = [], None
        for row in self.rows():
            here = (row["family"], row["work"])
            if here != heading:
                if heading is None or here[0] != heading[0]:
                    lines += ["", TITLES[here[0]]]
                lines += ["", f"  {row['title']}"]
                heading = here
            lines.append(f"    {row['unit']:26} {row['contender']:9} {figures(row)}")
        return "\n".join(lines[1:])

    def json(self):
        return json.dumps(self.facts | {"rows": self.rows()}, indent=1, ensure_ascii=False)

    def html(self):
        return page(self.rows(), self.facts)


def number(value):
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def verdict(row):
    """` ours/it 0.71 (goal ≤ 0.7: missed)`, as far as there is something to say."""
    said = f"  ours/it {row['ratio']:.2f}" if "ratio" in row else ""
    if "goal" in row:
        said += f"  (goal ≤ {row['goal']}: {'reached' if row['reached'] else 'missed'})"
    return said


def figures(row):
    if "void" in row:
        return f"void: {row['void']}"
    return f"{number(row['median']):>9}  {number(row['min'])} … {number(row['max'])}{verdict(row)}"


STYLE = """body{font:15px/1.4 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222;background:#fff}
h2{margin-top:2em;border-bottom:1px solid #ccc}h3{margin:1.6em 0 .2em}svg{display:block;margin:.2em 0 .8em}
text{font:13px system-ui,sans-serif;fill:#222}.ours{fill:#2a6f97}.other{fill:#b8b8b8}.range{stroke:#222;stroke-width:1.5}
.void{fill:#a33}"""
LEFT, WIDTH, BAR = 90, 430, 22  # of a chart, in pixels


def bar(row, y, scale):
    """One contender's line of a chart: a bar to the median, a whisker from min to max, the figures beside it."""
    said, name = html.escape(figures(row)), html.escape(row["contender"])
    label = f'<text x="0" y="{y + 14}">{name}</text>'
    if "void" in row:
        return f'{label}<text class="void" x="{LEFT}" y="{y + 14}">{said}</text>'
    at = {k: LEFT + max(row[k], 0) * scale for k in ("median", "min", "max")}
    kind = "ours" if row["contender"] == OURS else "other"
    return (f'{label}<rect class="{kind}" x="{LEFT}" y="{y + 2}" width="{at["median"] - LEFT:.1f}" height="16"/>'
            f'<line class="range" x1="{at["min"]:.1f}" x2="{at["max"]:.1f}" y1="{y + 10}" y2="{y + 10}"/>'
            f'<text x="{LEFT + WIDTH + 12}" y="{y + 14}">{said}</text>')


def chart(rows):
    top = max([row["max"] for row in rows if "void" not in row], default=0)
    scale = WIDTH / top if top > 0 else 0
    bars = "".join(bar(row, i * BAR, scale) for i, row in enumerate(rows))
    return f'<svg viewBox="0 0 960 {len(rows) * BAR}" width="100%" role="img">{bars}</svg>'


def page(rows, facts):
    """A page that needs nothing but itself."""
    parts, heading = [], (None, None)
    for row in rows:
        here = (row["family"], row["work"])
        if here[0] != heading[0]:
            parts.append(f"<h2>{html.escape(TITLES[here[0]])}</h2>")
        if here != heading:
            parts.append(f"<h3>{html.escape(row['title'])}</h3>")
            metrics = dict.fromkeys(r["metric"] for r in rows if (r["family"], r["work"]) == here)
            for metric in metrics:
                same = [r for r in rows if (r["family"], r["work"], r["metric"]) == (*here, metric)]
                hint = " (less is better)" if same[0]["lower_is_better"] else " (more is better)"
                parts.append(f"<div>{html.escape(same[0]['unit'] + hint if metric else '')}</div>{chart(same)}")
        heading = here
    about = " · ".join(f"{html.escape(str(k))}: {html.escape(str(v))}" for k, v in facts.items())
    return (f'<!doctype html><html lang="en"><meta charset="utf-8"><title>ambientd bench</title><style>{STYLE}</style>'
            f"<h1>ambientd beside others</h1><p>{about}</p><p>Bars: median; lines: min to max of the rounds.</p>"
            + "".join(parts) + "</html>\n")
