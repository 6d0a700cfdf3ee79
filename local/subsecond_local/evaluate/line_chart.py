"""Draws curves over two axes as SVG: axes, lines, legend. Callers add their own marks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from subsecond_local.errors import LocalError

WIDTH, HEIGHT = 720, 480
LEFT, RIGHT, TOP, BOTTOM = 74, 28, 84, 60
INK, FAINT, GRID, PAPER = "#1f2933", "#5f6b7a", "#e3e7ec", "#ffffff"
# Colour and dashes of each curve: told apart by colour-blind eyes, and in print.
STYLES = (("#1769aa", "none"), ("#b35900", "7 4"), ("#5b3f8c", "2 4"), ("#8a94a3", "1 3"))
FONT = "font-family='system-ui, sans-serif'"
STEPS = (1, 2, 2.5, 5, 10)

Place = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Curve:
    """places: shares across and up, inside the axes."""

    name: str
    places: Sequence[Place]


@dataclass(frozen=True, slots=True)
class Frame:
    """Both axes begin at 0. width, height: the shares at which they end; across, up: their names."""

    width: float
    height: float
    across: str
    up: str

    def x(self, share: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * share / self.width

    def y(self, share: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share / self.height


@dataclass(frozen=True, slots=True)
class LineChart:
    """marks: SVG elements that lie over the curves."""

    title: str
    subtitle: str
    frame: Frame
    curves: Sequence[Curve]
    marks: Sequence[str] = ()


def write(path: Path, chart: LineChart) -> None:
    """LocalError when the file cannot be written."""
    try:
        path.write_text(svg(chart), encoding="utf-8")
    except OSError as error:
        raise LocalError(f"The picture {path} cannot be written: {error.strerror}.") from error


def svg(chart: LineChart) -> str:
    size = f"viewBox='0 0 {WIDTH} {HEIGHT}' width='{WIDTH}' height='{HEIGHT}'"
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' {size} role='img'>",
        f"<title>{escape(chart.title)}</title>",
        f"<rect width='{WIDTH}' height='{HEIGHT}' fill='{PAPER}'/>",
        text_at(LEFT, 30, chart.title, size=17, weight=600),
        text_at(LEFT, 50, chart.subtitle, size=12, colour=FAINT),
        *_axes(chart.frame),
        *_curves(chart.frame, chart.curves),
        *_legend(chart.curves),
        *chart.marks,
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _axes(frame: Frame) -> list[str]:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    parts = []
    for share in _ticks(frame.width):
        x = frame.x(share)
        parts += [_stroke(x, TOP, x, bottom), text_at(x, bottom + 18, percent(share), anchor="middle", colour=FAINT)]
    for share in _ticks(frame.height):
        y = frame.y(share)
        parts += [_stroke(LEFT, y, right, y), text_at(LEFT - 8, y + 4, percent(share), anchor="end", colour=FAINT)]
    middle = (TOP + bottom) / 2
    return [
        *parts,
        _stroke(LEFT, bottom, right, bottom, FAINT),
        _stroke(LEFT, TOP, LEFT, bottom, FAINT),
        text_at((LEFT + right) / 2, HEIGHT - 16, frame.across, anchor="middle"),
        f"<g transform='rotate(-90 20 {middle:.1f})'>{text_at(20, middle, frame.up, anchor='middle')}</g>",
    ]


def _curves(frame: Frame, curves: Sequence[Curve]) -> list[str]:
    """Drawn in reverse, so that the first curve lies on top."""
    parts = []
    for curve, style in reversed(list(zip(curves, STYLES, strict=False))):
        places = " ".join(f"{frame.x(across):.1f},{frame.y(up):.1f}" for across, up in curve.places)
        parts.append(f"<polyline points='{places}' {_line(*style)}/>")
    return parts


def _legend(curves: Sequence[Curve]) -> list[str]:
    parts, x = [], float(LEFT)
    for curve, style in zip(curves, STYLES, strict=False):
        parts.append(f"<path d='M{x:.0f} 69h26' {_line(*style)}/>")
        parts.append(text_at(x + 32, 73, curve.name))
        x += 60 + 6.8 * len(curve.name)
    return parts


def _line(colour: str, dashes: str) -> str:
    return f"fill='none' stroke='{colour}' stroke-width='2.2' stroke-dasharray='{dashes}'"


def bound(share: float) -> float:
    """The end of an axis that must show this share: the next tick, at most 1."""
    step = _nice(share / 6)
    return min(1.0, step * math.ceil(share / step - 1e-9))


def percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def text_at(
    x: float, y: float, text: str, *, size: float = 12.5, weight: int = 400, anchor: str = "start", colour: str = INK
) -> str:
    style = f"{FONT} font-size='{size}' font-weight='{weight}' text-anchor='{anchor}' fill='{colour}'"
    return f"<text x='{x:.1f}' y='{y:.1f}' {style}>{escape(text)}</text>"


def _nice(value: float) -> float:
    """The next round number: 1, 2, 2.5, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in STEPS if step * power >= value * (1 - 1e-9))


def _ticks(end: float) -> list[float]:
    step = _nice(end / 6)
    return [round(at * step, 10) for at in range(int(end / step + 1e-9) + 1)]


def _stroke(x1: float, y1: float, x2: float, y2: float, colour: str = GRID) -> str:
    return f"<path d='M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}' stroke='{colour}'/>"
