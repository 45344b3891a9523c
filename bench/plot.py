# SPDX-License-Identifier: GPL-2.0-or-later
"""Line charts as SVG."""

import math
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 60, 20, 40, 80
COLORS = ("#1f5fa8", "#c0392b", "#2e8b57", "#8e5aa8", "#b7791f", "#555555")


def step_of(most):
    """The distance of some five lines across: 1, 2 or 5 times a power of ten."""
    raw = most / 5
    power = 10 ** math.floor(math.log10(raw))
    return next(power * step for step in (1, 2, 5, 10) if power * step >= raw)


def short(number):
    for unit, size in (("M", 1000000), ("k", 1000)):
        if number >= size:
            return f"{number / size:g}{unit}"
    return f"{number:g}"


class Chart:
    """Where values are on the paper."""

    def __init__(self, lines, log_x):
        points = [point for _, listed in lines for point in listed]
        self.position = math.log10 if log_x else float
        self.ticks = sorted({x for x, _ in points})
        self.first, self.last = self.position(self.ticks[0]), self.position(self.ticks[-1])
        self.step = step_of(max(y for _, y in points))
        self.top = math.ceil(max(y for _, y in points) / self.step) * self.step

    def x(self, value):
        share = (self.position(value) - self.first) / ((self.last - self.first) or 1)
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value):
        return round(HEIGHT - BOTTOM - value / self.top * (HEIGHT - TOP - BOTTOM), 1)


def text(x, y, content, anchor="middle"):
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{escape(content)}</text>'


def axes(chart, title, x, y):
    yield text(WIDTH / 2, 22, title)
    for tick in chart.ticks:
        yield text(chart.x(tick), HEIGHT - BOTTOM + 18, short(tick))
    yield text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - BOTTOM + 36, x)
    yield text(LEFT - 50, TOP - 8, y, "start")
    for i in range(round(chart.top / chart.step) + 1):
        at = chart.y(i * chart.step)
        yield f'<line x1="{LEFT}" y1="{at}" x2="{WIDTH - RIGHT}" y2="{at}" stroke="#dddddd"/>'
        yield text(LEFT - 6, at + 4, short(i * chart.step), "end")


def curve(chart, points, color):
    path = " ".join(f"{chart.x(x)},{chart.y(y)}" for x, y in points)
    yield f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>'
    for x, y in points:
        yield f'<circle cx="{chart.x(x)}" cy="{chart.y(y)}" r="3" fill="{color}"/>'


def legend(names):
    room = (WIDTH - LEFT - RIGHT) / len(names)
    for i, name in enumerate(names):
        x, color = LEFT + i * room, COLORS[i % len(COLORS)]
        yield f'<rect x="{x:.0f}" y="{HEIGHT - 26}" width="14" height="4" fill="{color}"/>'
        yield text(round(x + 20), HEIGHT - 20, name, "start")


def write(path, *, title, x, y, lines, log_x=False):
    """LINES: [name, [(x, y), ...]]; those without a point are left out."""
    lines = [(name, points) for name, points in lines if points]
    if not lines:
        return
    chart = Chart(lines, log_x)
    parts = [*axes(chart, title, x, y), *legend([name for name, _ in lines])]
    for i, (_, points) in enumerate(lines):
        parts += curve(chart, points, COLORS[i % len(COLORS)])
    with open(path, "w", encoding="utf-8") as file:
        file.write(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
                   'font-family="sans-serif" font-size="12">\n<!-- made by scripts/bench -->\n'
                   f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>\n'
                   + "\n".join(parts) + "\n</svg>\n")
