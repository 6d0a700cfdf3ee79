"""The recovered gain over the share of strong calls, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from subsecond_local.errors import LocalError
from subsecond_local.evaluate.picture import BOTTOM, FAINT, FONT, GRID, HEIGHT, INK, LEFT, PAPER, RIGHT, TOP, WIDTH

# Told apart by colour-blind eyes and, by their dashes, in print.
STYLES = (("#1769aa", ""), ("#b35900", "7 4"), ("#5b3f8c", "2 4"), ("#8a94a3", "1 3"))
# The gain may be more than all (a router that also avoids the strong model's own faults), or less than nothing.
LOWEST, HIGHEST = 0.0, 1.2
ACROSS, UP = 6, 7


def write(path: Path, title: str, subtitle: str, lines: Mapping[str, Sequence[float]]) -> None:
    """lines: by name, the gain at equal steps of the share. LocalError when the file cannot be written."""
    try:
        path.write_text(svg(title, subtitle, lines), encoding="utf-8")
    except OSError as error:
        raise LocalError(f"The picture {path} cannot be written: {error.strerror}.") from error


def svg(title: str, subtitle: str, lines: Mapping[str, Sequence[float]]) -> str:
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' width='{WIDTH}' height='{HEIGHT}'>",
        f"<rect width='{WIDTH}' height='{HEIGHT}' fill='{PAPER}'/>",
        _text(LEFT, 28, title, INK, size=16),
        _text(LEFT, 48, subtitle, FAINT),
        *_axes(),
        *_lines(lines),
    ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _axes() -> list[str]:
    parts = []
    for at in range(ACROSS):
        share = at / (ACROSS - 1)
        x, _ = _place(share, 0.0)
        parts.append(f"<path d='M{x:.1f} {TOP}V{HEIGHT - BOTTOM}' stroke='{GRID}'/>")
        parts.append(_text(x, HEIGHT - BOTTOM + 20, f"{100 * share:.0f} %", FAINT, anchor="middle"))
    for at in range(UP):
        gain = LOWEST + at / (UP - 1) * (HIGHEST - LOWEST)
        _, y = _place(0.0, gain)
        parts.append(f"<path d='M{LEFT} {y:.1f}H{WIDTH - RIGHT}' stroke='{GRID}'/>")
        parts.append(_text(LEFT - 8, y + 4, f"{100 * gain:.0f} %", FAINT, anchor="end"))
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(_text(middle, HEIGHT - 16, "calls of the strong model", INK, anchor="middle"))
    up = _text(18, (TOP + HEIGHT - BOTTOM) / 2, "gain recovered", INK, anchor="middle")
    return [*parts, f"<g transform='rotate(-90 18 {(TOP + HEIGHT - BOTTOM) / 2:.1f})'>{up}</g>"]


def _lines(lines: Mapping[str, Sequence[float]]) -> list[str]:
    parts, x = [], float(LEFT)
    for (name, gain), (colour, dash) in zip(lines.items(), STYLES, strict=False):
        steps = max(1, len(gain) - 1)
        at = " ".join(f"{px:.1f},{py:.1f}" for px, py in (_place(n / steps, value) for n, value in enumerate(gain)))
        style = f"fill='none' stroke='{colour}' stroke-width='2.2' stroke-dasharray='{dash or 'none'}'"
        parts += [f"<polyline points='{at}' {style}/>", f"<path d='M{x:.0f} 69h26' {style}/>"]
        parts.append(_text(x + 32, 73, name, INK))
        x += 56 + 6.6 * len(name)
    return parts


def _place(share: float, gain: float) -> tuple[float, float]:
    gain = min(HIGHEST, max(LOWEST, gain))
    x = LEFT + (WIDTH - LEFT - RIGHT) * share
    return x, HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (gain - LOWEST) / (HIGHEST - LOWEST)


def _text(x: float, y: float, text: str, colour: str, *, anchor: str = "start", size: float = 12.5) -> str:
    style = f"{FONT} font-size='{size}' text-anchor='{anchor}' fill='{colour}'"
    return f"<text x='{x:.1f}' y='{y:.1f}' {style}>{escape(text)}</text>"
