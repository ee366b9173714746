"""Draws a Grafana dashboard as an SVG, with data from Prometheus and without Grafana.

    picture.py DASHBOARD.json PROMETHEUS NAMESPACE PLATFORM SECONDS TITLE > PICTURE.svg

SECONDS: how far back to look. Panels keep their order and titles; each shows its largest value and its series.
"""

import html
import json
import sys
import time
import urllib.parse
import urllib.request

dashboard, prometheus, namespace, platform, seconds, title = sys.argv[1:]
END = time.time()
BEGIN = END - int(seconds)
STEP = max(2, int(seconds) // 120)
WIDTH, HEIGHT, COLUMNS, GAP = 300, 150, 4, 12
COLOURS = ["#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#ff8ab7", "#a463f2", "#97bbf5"]


def ask(query):
    """The series of a query: labels and points of each."""
    for name, value in (("$__rate_interval", "30s"), ("$namespace", namespace), ("$platform", platform)):
        query = query.replace(name, value)
    parameters = {"query": query, "start": BEGIN, "end": END, "step": STEP}
    with urllib.request.urlopen(f"{prometheus}/api/v1/query_range?" + urllib.parse.urlencode(parameters), timeout=20) as answer:
        found = json.load(answer)["data"]["result"]
    for series in found:
        points = [(at, float(value)) for at, value in series["values"] if value not in ("NaN", "+Inf", "-Inf")]
        if points:
            yield series["metric"], points


def legend(pattern, labels):
    for name, value in labels.items():
        pattern = pattern.replace("{{" + name + "}}", value)
    return pattern


def number(value, unit):
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "s":
        return f"{value:.3g} s" if value >= 1 else f"{value * 1000:.3g} ms"
    suffix = {"ops": "/s", "reqps": "/s"}.get(unit, "")
    return f"{value:,.0f}{suffix}" if value >= 100 else f"{value:.3g}{suffix}"


def text(x, y, size, colour, words, anchor="start"):
    return f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" fill="{colour}" text-anchor="{anchor}">{html.escape(words)}</text>'


def panel(one, x, y):
    unit = one.get("fieldConfig", {}).get("defaults", {}).get("unit", "short")
    out = [f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="4" fill="#fff" stroke="#d0d5dd"/>', text(x + 8, y + 17, 11, "#1d2939", one["title"])]
    lines = [
        (legend(target.get("legendFormat", ""), labels), points)
        for target in one["targets"]
        for labels, points in ask(target["expr"])
    ]
    if not lines:
        return out + [text(x + WIDTH / 2, y + HEIGHT / 2, 11, "#98a2b3", "no data", "middle")]
    if one["type"] == "stat":
        last = number(lines[0][1][-1][1], unit)
        return out + [text(x + WIDTH / 2, y + HEIGHT / 2 + 14, 28, "#1d2939", last, "middle")]
    top = max(value for _, points in lines for _, value in points)
    left, base, tall = x + 8, y + HEIGHT - 30, HEIGHT - 64
    out.append(text(x + WIDTH - 8, y + 30, 9, "#667085", "largest " + number(top, unit), "end"))
    out.append(f'<line x1="{left}" y1="{base}" x2="{x + WIDTH - 8}" y2="{base}" stroke="#d0d5dd"/>')
    for index, (_, points) in enumerate(lines):
        path = " ".join(
            f"{left + (at - BEGIN) / (END - BEGIN) * (WIDTH - 16):.1f},{base - (value / top if top > 0 else 0) * tall:.1f}" for at, value in points
        )
        out.append(f'<polyline points="{path}" fill="none" stroke="{COLOURS[index % len(COLOURS)]}" stroke-width="1.2"/>')
    at = left
    for index, name in enumerate(sorted({name for name, _ in lines})[:6]):
        colour = next(COLOURS[number % len(COLOURS)] for number, (of, _) in enumerate(lines) if of == name)
        if at + 6 * len(name) > x + WIDTH - 8:
            break
        out.append(text(at, y + HEIGHT - 10, 9, colour, name or "all"))
        at += 6 * len(name) + 14
    return out


panels = json.load(open(dashboard, encoding="utf-8"))["panels"]
drawn, column, y = [], 0, 40
for one in panels:
    if one["type"] == "row":
        y += (HEIGHT + GAP) if column else 0
        column = 0
        drawn.append(text(GAP, y + 16, 13, "#344054", one["title"]))
        y += 26
        continue
    drawn += panel(one, GAP + column * (WIDTH + GAP), y)
    column += 1
    if column == COLUMNS:
        column, y = 0, y + HEIGHT + GAP
y += HEIGHT + GAP if column else 0
width = COLUMNS * (WIDTH + GAP) + GAP
print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y}" font-family="sans-serif">')
print(f'<rect width="{width}" height="{y}" fill="#f9fafb"/>')
print(text(GAP, 26, 16, "#1d2939", title))
print("\n".join(drawn))
print("</svg>")
