# SPDX-License-Identifier: Apache-2.0
"""The report as one HTML page that needs nothing but itself: goals, then a chart for each metric."""
import html

from contenders import OURS, OURS_35
from report import TITLES, figures, number, spread, verdict

STYLE = """body{font:15px/1.4 system-ui,sans-serif;max-width:64em;margin:2em auto;padding:0 1em;color:#222;background:#fff}
h2{margin-top:2em;border-bottom:1px solid #ccc}h3{margin:1.6em 0 .2em}svg{display:block;margin:.2em 0 .8em}
text{font:13px system-ui,sans-serif;fill:#222}.ours{fill:#2a6f97}.other{fill:#b8b8b8}.range{stroke:#222;stroke-width:1.5}
.void,.missed{color:#a33;fill:#a33}.reached{color:#27713a}table{border-collapse:collapse}
td,th{padding:.2em .8em .2em 0;text-align:left;border-bottom:1px solid #eee}td.n{text-align:right}.counts{font-weight:600}"""
LEFT, WIDTH, BAR = 100, 430, 22  # of a chart, in pixels


def cell(text, kind=""):
    return f'<td class="{kind}">{html.escape(text)}</td>'


def goal_row(goal):
    kind = {None: "", True: "reached", False: "missed"}[goal["reached"]]
    cells = [cell(goal["title"]), cell(f"{goal['sign']} {goal['limit']:g}")]
    for build in (OURS, OURS_35):
        found = goal["by"].get(build)
        cells.append(cell(spread(found) if found else "–", "counts" if build == goal["build"] else ""))
    return f"<tr>{''.join(cells)}{cell(verdict(goal), kind)}</tr>"


def goal_table(judged):
    head = "".join(f"<th>{name}</th>" for name in ("Goal", "Limit", "System's OpenSSL", "OpenSSL 3.5", "Reached?"))
    return (f"<h2>Goals</h2><p>Median (min … max) of the rounds. The bold one counts: against Envoy, which has AES with VAES, "
            f"the build that has it too, where it was measured.</p><table><tr>{head}</tr>{''.join(map(goal_row, judged))}</table>")


def bar(row, y, scale):
    """One contender's line of a chart: a bar to the median, a whisker from min to max, the figures beside it."""
    said, name = html.escape(figures(row)), html.escape(row["contender"])
    label = f'<text x="0" y="{y + 14}">{name}</text>'
    if "void" in row:
        return f'{label}<text class="void" x="{LEFT}" y="{y + 14}">{said}</text>'
    at = {k: LEFT + max(row[k], 0) * scale for k in ("median", "min", "max")}
    kind = "ours" if row["contender"] in (OURS, OURS_35) else "other"
    return (f'{label}<rect class="{kind}" x="{LEFT}" y="{y + 2}" width="{at["median"] - LEFT:.1f}" height="16"/>'
            f'<line class="range" x1="{at["min"]:.1f}" x2="{at["max"]:.1f}" y1="{y + 10}" y2="{y + 10}"/>'
            f'<text x="{LEFT + WIDTH + 12}" y="{y + 14}">{said}</text>')


def chart(rows):
    top = max([row["max"] for row in rows if "void" not in row], default=0)
    scale = WIDTH / top if top > 0 else 0
    bars = "".join(bar(row, i * BAR, scale) for i, row in enumerate(rows))
    return f'<svg viewBox="0 0 1000 {len(rows) * BAR}" width="100%" role="img">{bars}</svg>'


def charts(rows):
    """A chart for each metric of the rows of one work."""
    for metric in dict.fromkeys(row["metric"] for row in rows):
        same = [row for row in rows if row["metric"] == metric]
        hint = " (less is better)" if same[0]["lower_is_better"] else " (more is better)"
        yield f"<div>{html.escape(same[0]['unit'] + hint if metric else '')}</div>{chart(same)}"


def works(rows):
    """Everything measured, family by family, work by work."""
    parts = []
    for family, title in TITLES.items():
        mine = [row for row in rows if row["family"] == family]
        if mine:
            parts.append(f"<h2>{html.escape(title)}</h2>")
        for work in dict.fromkeys(row["work"] for row in mine):
            same = [row for row in mine if row["work"] == work]
            parts += [f"<h3>{html.escape(same[0]['title'])}</h3>", *charts(same)]
    return "".join(parts)


def micro_table(micro):
    head = "".join(f"<th>{name}</th>" for name in ("Operation", "ns", "MB/s", "allocations of ours", "of the libraries"))
    rows = "".join(
        f"<tr>{cell(m['name'])}{cell(number(m['ns']), 'n')}{cell(number(m['bytes_per_s'] / 1e6) if m['bytes_per_s'] else '', 'n')}"
        f"{cell(number(m['news']), 'n')}{cell(number(m['mallocs']), 'n')}</tr>" for m in micro)
    return f"<h2>Micro-benchmarks: pieces alone, per operation</h2><table><tr>{head}</tr>{rows}</table>" if micro else ""


def page(report):
    about = " · ".join(f"{html.escape(str(k))}: {html.escape(str(v))}" for k, v in report.facts.items())
    troubles = "".join(f'<li class="void">{html.escape(why)}</li>' for why in report.troubles())
    void = f"<p>{'Forced' if report.forced else 'Void'}:</p><ul>{troubles}</ul>" if troubles else ""
    estimate = html.escape("\n".join(report.estimate()))
    return (f'<!doctype html><html lang="en"><meta charset="utf-8"><title>ambientd bench</title><style>{STYLE}</style>'
            f"<h1>ambientd beside others</h1><p>{about}</p>{void}{goal_table(report.goals())}"
            f"<p>Bars below: median; lines: min to max of the rounds; ours/it: the median of the rounds' ratios.</p>"
            f"{works(report.rows())}{micro_table(report.micro)}"
            + (f"<h2>More workers: an estimate</h2><pre>{estimate}</pre>" if estimate else "") + "</html>\n")
