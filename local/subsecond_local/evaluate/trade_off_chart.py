"""Charts a trade-off: share served against share answered wrongly at each cut of a score, with one setting marked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from subsecond_local.evaluate.line_chart import (
    BOTTOM,
    FAINT,
    HEIGHT,
    LEFT,
    PAPER,
    STYLES,
    WIDTH,
    Curve,
    Frame,
    LineChart,
    bound,
    percent,
    text_at,
)
from subsecond_local.evaluate.sweep import Point

COLOUR = STYLES[0][0]
# The marked setting lies within this share of the width, so that the cuts around it can be seen.
ROOM = 2.5
# Least pixels between two labelled cuts.
APART = 70.0
# Most points of a line: more would be finer than a pixel.
DRAWN = 600


@dataclass(frozen=True, slots=True)
class Decider:
    """One policy or score, and its point at each cut."""

    name: str
    points: Sequence[Point]


@dataclass(frozen=True, slots=True)
class TradeOff:
    """mark: the setting that was tried, with its name. least_width: the x axis ends here or later."""

    title: str
    subtitle: str
    across: str
    up: str
    deciders: Sequence[Decider]
    mark: tuple[str, Point]
    least_width: float = 0.1


def chart_of(trade_off: TradeOff) -> LineChart:
    """The chart; cuts of the first decider are labelled along its curve."""
    mark = trade_off.mark[1]
    width = bound(max(trade_off.least_width, ROOM * mark.wrong))
    shown = [Decider(one.name, _shown(width, one.points)) for one in trade_off.deciders]
    highest = max(point.served for one in shown for point in (*one.points, mark))
    frame = Frame(width, bound(1.05 * max(highest, 0.1)), trade_off.across, trade_off.up)
    return LineChart(
        trade_off.title,
        trade_off.subtitle,
        frame,
        [Curve(one.name, [(point.wrong, point.served) for point in one.points]) for one in shown],
        [*_cuts(frame, shown[0].points, mark), *_marked(frame, *trade_off.mark)],
    )


def _shown(width: float, points: Sequence[Point]) -> list[Point]:
    """The points inside the axes, from nothing answered to the right edge."""
    inside: list[Point] = [Point(math.inf, 0.0, 0.0)]
    for point in points:
        if point.wrong > width:
            before = inside[-1]
            share = (width - before.wrong) / (point.wrong - before.wrong)
            inside.append(Point(math.inf, before.served + share * (point.served - before.served), width))
            break
        inside.append(point)
    step = max(1, len(inside) // DRAWN)
    return [*inside[:-1:step], inside[-1]]


def _place(frame: Frame, point: Point) -> tuple[float, float]:
    return frame.x(point.wrong), frame.y(point.served)


def _cuts(frame: Frame, points: Sequence[Point], mark: Point) -> list[str]:
    """The score at some places of the line, so that another cut can be read off; none near the marked one."""
    taken = [_place(frame, mark)]
    parts = []
    for point in points:
        x, y = _place(frame, point)
        if math.isfinite(point.cut) and all(math.dist((x, y), other) > APART for other in taken):
            taken.append((x, y))
            parts.append(f"<circle cx='{x:.1f}' cy='{y:.1f}' r='3' fill='{COLOUR}'/>")
            left = x > LEFT + APART / 2  # else it would cover the axis labels
            place = (x - 6, y - 7) if left else (x + 8, y - 4)
            parts.append(text_at(*place, f"{point.cut:.3g}", size=11, anchor="end" if left else "start", colour=FAINT))
    return parts


def _marked(frame: Frame, name: str, point: Point) -> list[str]:
    x, y = _place(frame, point)
    bottom = HEIGHT - BOTTOM
    said = f"{name}: {percent(point.served)} served, {percent(point.wrong)} wrong"
    side, anchor = (12, "start") if x < WIDTH / 2 else (-12, "end")
    # An outline in the paper's colour keeps it readable over the lines.
    ground = f"stroke='{PAPER}' stroke-width='4' paint-order='stroke'"
    return [
        f"<path d='M{LEFT} {y:.1f}H{x:.1f}V{bottom}' fill='none' stroke='{COLOUR}' stroke-dasharray='2 3'/>",
        f"<circle cx='{x:.1f}' cy='{y:.1f}' r='6' fill='{COLOUR}' stroke='{PAPER}' stroke-width='2'/>",
        f"<g {ground}>{text_at(x + side, min(y + 18, bottom - 8), said, weight=600, anchor=anchor)}</g>",
    ]
