"""What a replay tells: one object for programs, a table for people, a picture of hits over the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from subsecond_local.evaluate.figures import ratio, rounded, wilson
from subsecond_local.evaluate.line_chart import Curve, Frame, LineChart, write
from subsecond_local.evaluate.setting import Setting
from subsecond_local.evaluate.tables import columns, percent
from subsecond_local.replay.play import Played

# Points of a curve, and fields that are named for people.
POINTS, NAMED = 200, 5


def of_one(setting: Setting, found: Played, labels: Sequence[bool]) -> dict[str, Any]:
    """exact_rate, semantic_rate: of all requests. wrong: of the labelled pairs, None without labels. parted: the shares
    of all misses whose text was stored, by the fields that parted them from it: a clock in a system text is
    `messages (system text)`."""
    wrong = labels.count(False)
    return {
        **setting.named(),
        "caution": setting.settings.caution,
        "n": found.n,
        "exact_rate": rounded(ratio(len(found.exact), found.n)),
        "semantic_rate": rounded(ratio(len(found.matched), found.n)),
        "tokens": found.tokens,
        "saved_tokens": found.saved_tokens,
        "cost": round(found.cost, 6),
        "saved_cost": round(found.saved_cost, 6),
        "labelled": len(labels),
        "wrong": rounded(ratio(wrong, len(labels))),
        "wrong_interval": wilson(wrong, len(labels)),
        "parted_rate": rounded(ratio(found.parted_rows, found.misses)),
        "parted": {name: rounded(ratio(count, found.misses)) for name, count in found.parted.most_common()},
        "refused": found.refused,
    }


def table(file: str, unread: int, reports: Sequence[Mapping[str, Any]]) -> str:
    """For people: a column for each setting."""
    rows = [("", *(f"{one['policy']}, {one['caution']}" for one in reports))]
    rows += [
        ("exact hits", *(percent(one["exact_rate"]) for one in reports)),
        ("semantic hits", *(percent(one["semantic_rate"]) for one in reports)),
        ("wrong, of those labelled", *map(_wrong, reports)),
        ("tokens saved", *(f"{one['saved_tokens']:,} of {one['tokens']:,}" for one in reports)),
    ]
    if any(one["cost"] for one in reports):
        rows.append(("cost saved", *(f"{one['saved_cost']:.2f} of {one['cost']:.2f}" for one in reports)))
    rows.append(("misses that only a field parted", *(percent(one["parted_rate"]) for one in reports)))
    first = reports[0]
    rows += [(f"  {name}", *(percent(one["parted"].get(name)) for one in reports)) for name in _named(first)]
    left_out = f"; rows left out, which hold none: {unread:,}" if unread else ""
    return f"{file}: {first['n']:,} requests{left_out}.\n\n{columns(rows, indent='  ')}"


def _named(report: Mapping[str, Any]) -> list[str]:
    return list(report["parted"])[:NAMED]


def _wrong(report: Mapping[str, Any]) -> str:
    if not report["labelled"]:
        return "not labelled"
    low, high = report["wrong_interval"]
    return f"{percent(report['wrong'])} ({100 * low:.1f} to {100 * high:.1f} %, of {report['labelled']:,})"


def draw(path: Path, title: str, plays: Sequence[tuple[str, Played]]) -> None:
    """The share of the requests so far that the caches answered, along the log. LocalError."""
    curves = [Curve("exact", _shares(plays[0][1].exact, plays[0][1].n))]
    for name, found in plays:
        rows = sorted([*found.exact, *(one.row for one in found.matched)])
        curves.append(Curve(f"exact and semantic: {name}", _shares(rows, found.n)))
    highest = max((share for curve in curves for _, share in curve.places), default=0.0)
    frame = Frame(1.0, min(1.0, max(0.1, highest * 1.15)), "share of the log, in its order", "answered from the cache")
    subtitle = f"{plays[0][1].n:,} requests; each point: all requests up to there"
    write(path, LineChart(title, subtitle, frame, curves[:4]))


def _shares(rows: Sequence[int], n: int) -> list[tuple[float, float]]:
    """(share of the log, share of its requests that were hits)."""
    places, count = [], 0
    ordered = iter([*rows, n + 1])
    following = next(ordered)
    step = max(1, n // POINTS)
    for row in range(1, n + 1):
        while following <= row:
            count += 1
            following = next(ordered)
        if row % step == 0 or row == n:
            places.append((row / n, count / row))
    return places
