"""The picture of one run of `eval stream --policy verified`: what is told, beside the truth that only labels know."""

from __future__ import annotations

from subsecond_local.evaluate.line_chart import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Curve,
    Frame,
    LineChart,
    percent,
    text_at,
)
from subsecond_local.evaluate.line_chart import bound as end_of
from subsecond_local.evaluate.verified_stream import VerifiedStream

# The axis ends at so many times the owner's bound: the interval begins at 100 %.
SHOWN = 4
RETREAT = "#b00020"


def chart_of(found: VerifiedStream, file: str, embedder: str) -> LineChart:
    assert found.accuracy is not None
    most = found.accuracy.bound
    frame = Frame(1.0, end_of(min(1.0, SHOWN * most)), "requests so far, of all", "share of wrong semantic hits")
    looks = [(look.row / found.n, look) for look in found.course]

    def curve(name: str, value: str) -> Curve:
        return Curve(name, [(at, min(frame.height, getattr(look, value))) for at, look in looks])

    return LineChart(
        title=f"A bound of {percent(most)} wrong hits: {file}",
        subtitle=f"{found.n:,} questions in a row from an empty cache, embedder {embedder}; a red line is a retreat",
        frame=frame,
        curves=(
            curve("truly wrong", "wrong"),
            curve("called wrong", "called_wrong"),
            curve("told: at most, with 95 %", "most"),
        ),
        marks=[*_bound(frame, most), *(_retreat(frame, row / found.n) for row in found.retreats)],
    )


def _bound(frame: Frame, share: float) -> list[str]:
    y = frame.y(share)
    line = f"<path d='M{LEFT} {y:.1f}H{WIDTH - RIGHT}' stroke='{RETREAT}' stroke-dasharray='6 3'/>"
    return [line, text_at(WIDTH - RIGHT - 4, y - 5, "the owner's bound", anchor="end", colour=RETREAT)]


def _retreat(frame: Frame, share: float) -> str:
    return f"<path d='M{frame.x(share):.1f} {TOP}V{HEIGHT - BOTTOM}' stroke='{RETREAT}'/>"
