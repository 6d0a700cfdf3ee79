"""A trade-off as SVG: what is served against what is answered wrongly, along a score, with one setting marked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from subsecond_local.errors import LocalError
from subsecond_local.evaluate.figures import Point

WIDTH, HEIGHT = 720, 480
LEFT, RIGHT, TOP, BOTTOM = 74, 28, 84, 60
INK, FAINT, GRID, PAPER = "#1f2933", "#5f6b7a", "#e3e7ec", "#ffffff"
# Told apart by colour-blind eyes and in print: blue and dark orange, one of them dashed.
COLOURS = ("#1769aa", "#b35900")
FONT = "font-family='system-ui, sans-serif'"
# The marked setting lies within this share of the width, so that the cuts around it can be seen.
ROOM = 2.5
STEPS = (1, 2, 2.5, 5, 10)
# Pixels between two cuts that are named.
APART = 70.0
# Points of a line: more are finer than a pixel.
DRAWN = 600


@dataclass(frozen=True, slots=True)
class Line:
    """One way to decide, at all its cuts."""

    name: str
    points: Sequence[Point]


@dataclass(frozen=True, slots=True)
class Chart:
    """mark: the setting that was tried, with its name. least_width: so far wrong answers are shown at least."""

    title: str
    subtitle: str
    across: str
    up: str
    lines: Sequence[Line]
    mark: tuple[str, Point]
    least_width: float = 0.1


@dataclass(frozen=True, slots=True)
class _Frame:
    """The largest shares that are shown, and so where a share lies."""

    width: float
    height: float

    def x(self, wrong: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * wrong / self.width

    def y(self, served: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * served / self.height

    def place(self, point: Point) -> tuple[float, float]:
        return self.x(point.wrong), self.y(point.served)


def write(path: Path, chart: Chart) -> None:
    """LocalError when the file cannot be written."""
    try:
        path.write_text(svg(chart), encoding="utf-8")
    except OSError as error:
        raise LocalError(f"The picture {path} cannot be written: {error.strerror}.") from error


def svg(chart: Chart) -> str:
    mark = chart.mark[1]
    width = _bound(max(chart.least_width, ROOM * mark.wrong))
    lines = [Line(line.name, _shown(width, line)) for line in chart.lines]
    highest = max(point.served for line in lines for point in (*line.points, mark))
    frame = _Frame(width, _bound(1.05 * max(highest, 0.1)))
    size = f"viewBox='0 0 {WIDTH} {HEIGHT}' width='{WIDTH}' height='{HEIGHT}'"
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' {size} role='img'>",
        f"<title>{escape(chart.title)}</title>",
        f"<rect width='{WIDTH}' height='{HEIGHT}' fill='{PAPER}'/>",
        _text(LEFT, 30, chart.title, size=17, weight=600),
        _text(LEFT, 50, chart.subtitle, size=12, colour=FAINT),
        *_axes(frame, chart.across, chart.up),
        *_drawn(frame, lines),
        *_cuts(frame, lines[0], mark),
        *_legend(lines),
        *_marked(frame, *chart.mark),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _axes(frame: _Frame, across: str, up: str) -> list[str]:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    parts = []
    for share in _ticks(frame.width):
        x = frame.x(share)
        parts += [_stroke(x, TOP, x, bottom), _text(x, bottom + 18, _percent(share), anchor="middle", colour=FAINT)]
    for share in _ticks(frame.height):
        y = frame.y(share)
        parts += [_stroke(LEFT, y, right, y), _text(LEFT - 8, y + 4, _percent(share), anchor="end", colour=FAINT)]
    middle = (TOP + bottom) / 2
    return [
        *parts,
        _stroke(LEFT, bottom, right, bottom, FAINT),
        _stroke(LEFT, TOP, LEFT, bottom, FAINT),
        _text((LEFT + right) / 2, HEIGHT - 16, across, anchor="middle"),
        f"<g transform='rotate(-90 20 {middle:.1f})'>{_text(20, middle, up, anchor='middle')}</g>",
    ]


def _drawn(frame: _Frame, lines: Sequence[Line]) -> list[str]:
    parts = []
    for line, colour in reversed(list(zip(lines, COLOURS, strict=False))):
        places = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(frame.place, line.points))
        dash = "" if colour == COLOURS[0] else " stroke-dasharray='6 4'"
        parts.append(f"<polyline points='{places}' fill='none' stroke='{colour}' stroke-width='2.2'{dash}/>")
    return parts


def _shown(width: float, line: Line) -> list[Point]:
    """What lies inside the axes, begun at nothing answered, and ended on the edge."""
    inside: list[Point] = [Point(math.inf, 0.0, 0.0)]
    for point in line.points:
        if point.wrong > width:
            before = inside[-1]
            share = (width - before.wrong) / (point.wrong - before.wrong)
            inside.append(Point(math.inf, before.served + share * (point.served - before.served), width))
            break
        inside.append(point)
    step = max(1, len(inside) // DRAWN)
    return [*inside[:-1:step], inside[-1]]


def _cuts(frame: _Frame, line: Line, mark: Point) -> list[str]:
    """The score at some places of the line, so that another cut can be read off; none near the marked one."""
    taken = [frame.place(mark)]
    parts = []
    for point in line.points:
        x, y = frame.place(point)
        if math.isfinite(point.cut) and all(math.dist((x, y), other) > APART for other in taken):
            taken.append((x, y))
            parts.append(f"<circle cx='{x:.1f}' cy='{y:.1f}' r='3' fill='{COLOURS[0]}'/>")
            left = x > LEFT + APART / 2  # or on the axis's own names
            place = (x - 6, y - 7) if left else (x + 8, y - 4)
            parts.append(_text(*place, f"{point.cut:.3g}", size=11, anchor="end" if left else "start", colour=FAINT))
    return parts


def _legend(lines: Sequence[Line]) -> list[str]:
    parts, x = [], LEFT
    for line, colour in zip(lines, COLOURS, strict=False):
        dash = "" if colour == COLOURS[0] else " stroke-dasharray='6 4'"
        parts.append(f"<path d='M{x} 69h26' stroke='{colour}' stroke-width='2.2'{dash}/>")
        parts.append(_text(x + 32, 73, line.name, colour=INK))
        x += 60 + 7 * len(line.name)
    return parts


def _marked(frame: _Frame, name: str, point: Point) -> list[str]:
    x, y = frame.place(point)
    bottom, colour = HEIGHT - BOTTOM, COLOURS[0]
    said = f"{name}: {_percent(point.served)} served, {_percent(point.wrong)} wrong"
    side, anchor = (12, "start") if x < WIDTH / 2 else (-12, "end")
    # On a ground of its own: the lines run behind it.
    ground = f"stroke='{PAPER}' stroke-width='4' paint-order='stroke'"
    return [
        f"<path d='M{LEFT} {y:.1f}H{x:.1f}V{bottom}' fill='none' stroke='{colour}' stroke-dasharray='2 3'/>",
        f"<circle cx='{x:.1f}' cy='{y:.1f}' r='6' fill='{colour}' stroke='{PAPER}' stroke-width='2'/>",
        f"<g {ground}>{_text(x + side, min(y + 18, bottom - 8), said, weight=600, anchor=anchor)}</g>",
    ]


def _nice(value: float) -> float:
    """The next round number: 1, 2, 2.5, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in STEPS if step * power >= value * (1 - 1e-9))


def _bound(share: float) -> float:
    """Where an axis ends that shows this share."""
    step = _nice(share / 6)
    return min(1.0, step * math.ceil(share / step - 1e-9))


def _ticks(end: float) -> list[float]:
    step = _nice(end / 6)
    return [round(at * step, 10) for at in range(int(end / step + 1e-9) + 1)]


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _stroke(x1: float, y1: float, x2: float, y2: float, colour: str = GRID) -> str:
    return f"<path d='M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}' stroke='{colour}'/>"


def _text(
    x: float, y: float, text: str, *, size: float = 12.5, weight: int = 400, anchor: str = "start", colour: str = INK
) -> str:
    style = f"{FONT} font-size='{size}' font-weight='{weight}' text-anchor='{anchor}' fill='{colour}'"
    return f"<text x='{x:.1f}' y='{y:.1f}' {style}>{escape(text)}</text>"
