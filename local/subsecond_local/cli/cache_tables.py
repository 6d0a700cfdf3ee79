"""The output of `subsecond cache` as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

NONE, YES, NO = "-", "yes", "no"
QUANTILES = ("count", "mean", "p50", "p90", "p99")
# Figures with a table of their own.
APART = ("latencies", "steps")


def stats(figures: Mapping[str, Any]) -> str:
    """Unknown figures are printed as they are. Lists (hours, hits, entries) are left to the page."""
    latencies, steps = figures.get("latencies") or {}, figures.get("steps") or {}
    plain = {name: value for name, value in figures.items() if name not in APART and not isinstance(value, list)}
    parts = [_columns([row for name, value in plain.items() for row in _rows(name, value)])]
    if latencies or steps:
        heads = ("MILLISECONDS", *(name.upper() for name in QUANTILES))
        parts.append(_columns([heads, *_latencies(latencies), *_steps(steps)]))
    if not figures.get("complete", True):
        parts.append("Not complete: the shared table could not be read.")
    return "\n\n".join(parts)


def _rows(name: str, value: Any) -> list[tuple[str, str]]:
    if not isinstance(value, Mapping):
        return [(name, _shown(name, value))]
    return [row for part, inner in value.items() for row in _rows(f"{name}.{part}", inner)]


def _shown(name: str, value: Any) -> str:
    if value is None:
        return NONE
    if name.endswith("_rate"):
        return f"{100 * value:.1f} %"
    if isinstance(value, bool):
        return YES if value else NO
    if isinstance(value, float):
        return f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _latencies(sources: Mapping[str, Any]) -> Iterable[Sequence[str]]:
    for source, found in sources.items():
        for kind, shape in found["all"].items():
            name = f"{source} {kind.removesuffix('_ms')}"
            yield name, *(_shown("", shape.get(quantile)) for quantile in QUANTILES)


def _steps(kinds: Mapping[str, Any]) -> Iterable[Sequence[str]]:
    for kind, steps in kinds.items():
        for step, shape in steps.items():
            yield f"{kind} step {step}", *(_shown("", shape.get(quantile)) for quantile in QUANTILES)


def rebuilt(places: Iterable[Mapping[str, Any]]) -> str:
    rows = [("NAMESPACE", "EMBEDDER", "ROWS", "SEGMENTS", "BYTES")]
    rows += [(*_named(place), f"{place['rows']:,}", str(place["segments"]), f"{place['bytes']:,}") for place in places]
    return f"{_columns(rows)}\n\nRebuilt from the answers table. Gateways take it over within a second or two."


def compacted(places: Iterable[Mapping[str, Any]]) -> str:
    rows: list[Sequence[str]] = [("NAMESPACE", "EMBEDDER", "SEGMENTS", "BYTES", "MERGED", "DAMAGED", "REMOVED")]
    for place in places:
        before, after = place["before"], place["after"]
        sizes = [f"{before[name]:,} -> {after[name]:,}" for name in ("segments", "bytes")]
        rows.append((*_named(place), *sizes, *(str(place[name]) for name in ("merged", "bad", "swept"))))
    return _columns(rows)


def verified(places: Iterable[Mapping[str, Any]]) -> str:
    rows: list[Sequence[str]] = [
        ("NAMESPACE", "EMBEDDER", "ROWS", "SEGMENTS", "DAMAGED", "DOUBLE", "MISSING", "SURPLUS", "ORPHANS", "")
    ]
    wrong = False
    for place in places:
        counts = [place["rows"], place["segments"], len(place["bad"])]
        counts += [place[name] for name in ("double", "missing", "surplus", "orphans")]
        rows.append((*_named(place), *(f"{n:,}" for n in counts), "right" if place["is_right"] else "WRONG"))
        wrong |= not place["is_right"]
    advice = (
        "Entries that were stored in the last seconds may still be on their way, and evicted ones are missing on "
        "purpose. Ask again; `subsecond cache rebuild` writes it anew."
    )
    return _columns(rows) + (f"\n\n{advice}" if wrong else "")


def _named(place: Mapping[str, Any]) -> tuple[str, str]:
    return f"{place['tenant']}:{place['namespace']}", place["embedder"]


def _columns(rows: Sequence[Sequence[str]]) -> str:
    """Aligned: to the right where all but the first row are numbers."""
    columns = list(zip(*rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    right = [all(text[:1].isdigit() or text in (NONE, YES, NO) for text in column[1:]) for column in columns]
    lines = []
    for row in rows:
        cells = zip(row, widths, right, strict=True)
        lines.append("  ".join(text.rjust(width) if end else text.ljust(width) for text, width, end in cells).rstrip())
    return "\n".join(lines)
